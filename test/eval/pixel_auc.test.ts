import { describe, expect, it } from "vitest";
import type { PixelMask } from "../../src/data/dataset.js";
import { PixelAuc } from "../../src/eval/pixel_auc.js";
import { Random } from "../support/numbers.js";

const mask = (width: number, height: number, ...abnormal: number[]): PixelMask => {
  const data = new Uint8Array(width * height);
  for (const pixel of abnormal) data[pixel] = 1;
  return { width, height, data };
};
const map = (rows: number, columns: number, ...values: number[]) => ({
  rows,
  columns,
  data: Float32Array.from(values),
});

describe("the pixel-level criterion", () => {
  it("takes the maximum of a normal frame", () => {
    const pixels = new PixelAuc();
    pixels.add(map(2, 2, 1, 4, 3, 2), mask(4, 4));
    pixels.add(map(1, 2, -3, -2), mask(4, 4));
    expect([pixels.labels, pixels.scores]).toEqual([
      [0, 0],
      [4, -2],
    ]);
  });

  it("takes the highest threshold at which two fifths of the abnormal pixels are found", () => {
    const pixels = new PixelAuc();
    // Five abnormal pixels in a cell each: two are enough.
    pixels.add(map(1, 6, 5, 4, 3, 2, 1, 99), mask(6, 1, 0, 1, 2, 3, 4));
    // Six: two are not enough.
    pixels.add(map(1, 6, 5, 4, 3, 2, 1, 0), mask(6, 1, 0, 1, 2, 3, 4, 5));
    // In a frame of 5 columns, 0 and 1 fall into the left of two cells, the centre of column 2 into
    // the right one.
    pixels.add(map(1, 2, 7, 8), mask(5, 1, 0, 1, 2));
    pixels.add(map(1, 2, 7, 8), mask(5, 1, 0, 1, 2, 3));
    expect(pixels.scores).toEqual([4, 3, 7, 8]);
  });

  it("agrees with thresholds tried one by one", () => {
    const random = new Random(8);
    const pixels = new PixelAuc();
    const [width, height, rows, columns] = [14, 9, 4, 5];
    const frames = Array.from({ length: 40 }, (_, i) => {
      const truth = mask(width, height);
      if (i % 2) for (let k = 0; k < 20; k++) truth.data[random.integer(3) * width + random.integer(6)] = 1;
      const values = Array.from(
        { length: rows * columns },
        (_, cell) => random.integer(5) + (i % 2 && cell < 3 ? 2 : 0),
      );
      pixels.add(map(rows, columns, ...values), truth);
      const at = (x: number, y: number) =>
        values[Math.floor(((y + 0.5) / height) * rows) * columns + Math.floor(((x + 0.5) / width) * columns)];
      return { truth, at };
    });
    // ROC points by the criterion's definition, from the highest threshold down.
    let [area, before] = [0, [0, 0] as [number, number]];
    for (let threshold = 7; threshold >= 0; threshold--) {
      let [falseAlarms, detected] = [0, 0];
      for (const { truth, at } of frames) {
        let [found, abnormal, any] = [0, 0, false];
        for (let i = 0; i < width * height; i++) {
          const isFound = at(i % width, Math.floor(i / width)) >= threshold;
          any ||= isFound;
          abnormal += truth.data[i];
          if (truth.data[i] && isFound) found++;
        }
        if (abnormal === 0) falseAlarms += any ? 1 / 20 : 0;
        else if (found >= 0.4 * abnormal) detected += 1 / 20;
      }
      area += ((falseAlarms - before[0]) * (detected + before[1])) / 2;
      before = [falseAlarms, detected];
    }
    expect(before[0]).toBeCloseTo(1, 12);
    expect(pixels.auc()).toBeCloseTo(area, 12);
    expect(area).toBeGreaterThan(0.5);
    expect(area).toBeLessThan(1);
  });

  it("refuses maps and masks whose data do not match their size, and NaN", () => {
    const pixels = new PixelAuc();
    expect(() => pixels.add(map(1, 2, 1, Number.NaN), mask(2, 2), "03, frame 5")).toThrow(
      "03, frame 5: the map is NaN in row 0, column 1",
    );
    expect(() => pixels.add(map(2, 2, 1), mask(2, 2))).toThrow("frame 0: a map of 2×2 cells has 1 values");
    expect(() => pixels.add(map(1, 1, 1), { ...mask(2, 2), width: 3 })).toThrow("a mask of 3×2 pixels has 4 values");
    expect(pixels.auc()).toBeUndefined();
  });
});
