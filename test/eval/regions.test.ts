import { describe, expect, it } from "vitest";
import { findRegions } from "../../src/eval/regions.js";
import { Random } from "../support/numbers.js";

/** A map or a mask, drawn in rows: digits are values. */
function draw(...rows: string[]) {
  const data = Float32Array.from(rows.join(""), Number);
  return { rows: rows.length, columns: rows[0].length, data };
}

describe("regions of a map", () => {
  it("are 8-connected, with the box around them and the largest cell as score", () => {
    const map = draw(
      "500003", //
      "060030",
      "000000",
      "900022",
    );
    expect(findRegions(map, 3, { width: 6, height: 4 })).toEqual([
      { x1: 0, y1: 0, x2: 1, y2: 1, score: 6 },
      { x1: 4, y1: 0, x2: 5, y2: 1, score: 3 },
      { x1: 0, y1: 3, x2: 0, y2: 3, score: 9 },
    ]);
    // Diagonal neighbours are connected.
    expect(findRegions(draw("10101", "01010"), 1, { width: 5, height: 2 })).toHaveLength(1);
  });

  it("never hold a cell that is 0", () => {
    expect(findRegions(draw("000", "020"), 0, { width: 3, height: 2 })).toEqual([
      { x1: 1, y1: 1, x2: 1, y2: 1, score: 2 },
    ]);
    expect(findRegions(draw("00"), -1, { width: 2, height: 1 })).toEqual([]);
  });

  it("cover the pixels whose centres fall into their cells", () => {
    const random = new Random(9);
    for (let round = 0; round < 200; round++) {
      const [rows, columns] = [1 + random.integer(9), 1 + random.integer(9)];
      const size = { width: columns + random.integer(40), height: rows + random.integer(40) };
      const cell = { x: random.integer(columns), y: random.integer(rows) };
      const data = new Float32Array(rows * columns);
      data[cell.y * columns + cell.x] = 1;
      const inCell = (pixels: number, cells: number, want: number) =>
        Array.from({ length: pixels }, (_, p) => p).filter(
          (p) => Math.floor(((2 * p + 1) * cells) / (2 * pixels)) === want,
        );
      const xs = inCell(size.width, columns, cell.x);
      const ys = inCell(size.height, rows, cell.y);
      expect(findRegions({ rows, columns, data }, 1, size)).toEqual([
        { x1: xs[0], y1: ys[0], x2: xs.at(-1), y2: ys.at(-1), score: 1 },
      ]);
    }
  });

  it("have at least one pixel, even if the map is finer than the image", () => {
    const map = { rows: 1, columns: 9, data: Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1]) };
    const boxes = findRegions(map, 1, { width: 3, height: 1 });
    expect(boxes.map(({ x1, x2 }) => [x1, x2])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
  });

  it("refuses a NaN in the map", () => {
    expect(() => findRegions(draw("1x"), 1, { width: 2, height: 1 })).toThrow("the map is NaN in row 0, column 1");
  });
});
