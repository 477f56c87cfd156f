import { describe, expect, it } from "vitest";
import { textPixels } from "../../../src/report/video/font.js";
import { Painter } from "../../../src/report/video/painter.js";

const size = { width: 40, height: 24 };
const grey = 100;
const frame = (index: number) => ({
  ...{ ...size, index, number: index, time: index / 10 },
  data: new Uint8Array(size.width * size.height * 3).fill(grey),
});
const overlay = (values: number[], level: number, isAbnormal = false) => ({
  map: { rows: 1, columns: 2, data: Float32Array.from(values) },
  range: { low: 1, high: 2 },
  boxes: [{ x1: 4, y1: 5, x2: 10, y2: 12 }],
  ...{ level, isAbnormal },
});

describe("a painted frame", () => {
  it("is as wide as the frame, with a strip below, both even", () => {
    const painter = new Painter({ width: 41, height: 25 }, 10);
    expect([painter.width, painter.height]).toEqual([42, 74]); // a strip of 48, and one row more
  });

  it("keeps the frame where the map is low, and colours it where it is high", () => {
    const painter = new Painter(size, 10);
    const pixels = painter.paint(frame(0), overlay([1, 2], 0));
    const at = (x: number, y: number) => Array.from(pixels.slice((y * 40 + x) * 3, (y * 40 + x) * 3 + 3));
    // The cells' centres are at columns 9.5 and 29.5.
    expect(at(5, 10)).toEqual([grey, grey, grey]);
    // The ramp ends at R 240, G 249, B 33, of which 65 % are mixed in.
    expect(at(35, 10)).toEqual([56, 196, 191]);
    const half = at(20, 10);
    expect(half).not.toEqual([grey, grey, grey]);
    expect(half).not.toEqual(at(35, 10));
  });

  it("has boxes while an event goes on", () => {
    const painter = new Painter(size, 10, 1);
    const corner = (pixels: Uint8Array) => Array.from(pixels.slice((5 * 40 + 4) * 3, (5 * 40 + 4) * 3 + 3));
    expect(corner(painter.paint(frame(0), overlay([0, 0], 0)))).toEqual([grey, grey, grey]);
    expect(corner(painter.paint(frame(1), overlay([0, 0], 2, true)))).toEqual([48, 64, 255]);
  });

  it("is drawn whatever the score is", () => {
    const painter = new Painter(size, 10, 1);
    for (const level of [Number.NaN, 0, -3, 1e9, Number.POSITIVE_INFINITY]) {
      expect(painter.paint(frame(0), overlay([Number.NaN, 0], level))).toHaveLength(40 * painter.height * 3);
    }
  });
});

describe("the font", () => {
  it("draws letters beside each other, and leaves out those that it lacks", () => {
    expect(textPixels("-")).toEqual([
      [0, 2],
      [1, 2],
      [2, 2],
    ]);
    expect(textPixels("\u{1F600}-").map(([x]) => x)).toEqual([4, 5, 6]);
  });
});
