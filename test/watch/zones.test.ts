import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { findRegions } from "../../src/eval/regions.js";
import { checkPolygon, type Polygon, regionOf, tokensIn } from "../../src/watch/zones.js";
import { Random } from "../support/numbers.js";

/** An upright rectangle. */
const box = (left: number, top: number, right: number, bottom: number): Polygon => [
  [left, top],
  [right, top],
  [right, bottom],
  [left, bottom],
];

describe("the tokens of an area", () => {
  it("are those that lie in it, row by row", () => {
    expect([...tokensIn([box(0.5, 0, 1, 0.5)], 2, 4)]).toEqual([0, 0, 1, 1, 0, 0, 0, 0]);
    expect([...tokensIn([box(0, 0, 1, 1)], 2, 3)]).toEqual([1, 1, 1, 1, 1, 1]);
    expect([...tokensIn([], 1, 2)]).toEqual([0, 0]);
  });

  it("are those of which it covers at least half", () => {
    // A token is a quarter of the width: 0.125 is half of the first one, 0.1 is 40 %.
    expect([...tokensIn([box(0, 0, 0.125, 1)], 1, 4)]).toEqual([1, 0, 0, 0]);
    expect([...tokensIn([box(0, 0, 0.1, 1)], 1, 4)]).toEqual([0, 0, 0, 0]);
    // From the second token 40 %, all of the third.
    expect([...tokensIn([box(0.4, 0, 0.75, 1)], 1, 4)]).toEqual([0, 0, 1, 0]);
  });

  it("are those of the union of several areas", () => {
    const [left, right] = [box(0, 0, 0.3, 1), box(0.7, 0, 1, 1)];
    // 30 % each: together more than half. What is covered twice counts once.
    expect([...tokensIn([left], 1, 1)]).toEqual([0]);
    expect([...tokensIn([left, right], 1, 1)]).toEqual([1]);
    expect([...tokensIn([left, left], 1, 1)]).toEqual([0]);
  });

  it("follow slanted edges and corners that point inwards", () => {
    const triangle: Polygon = [
      [0, 0],
      [1, 0],
      [0, 1],
    ];
    const found = tokensIn([triangle], 3, 3);
    expect([found[0], found[1], found[3]]).toEqual([1, 1, 1]);
    expect([found[5], found[7], found[8]]).toEqual([0, 0, 0]);
    // An L: the left column and the lowest row.
    const corner: Polygon = [
      [0, 0],
      [1 / 3, 0],
      [1 / 3, 2 / 3],
      [1, 2 / 3],
      [1, 1],
      [0, 1],
    ];
    expect([...tokensIn([corner], 3, 3)]).toEqual([1, 0, 0, 1, 0, 0, 1, 1, 1]);
  });

  it("do not lie where the area's edges go around twice", () => {
    // Both squares in one line: the inner one is a hole by the even-odd rule.
    const ring: Polygon = [...box(0, 0, 1, 1), [0, 0], ...box(0.25, 0.25, 0.75, 0.75), [0.25, 0.25]];
    expect([...tokensIn([ring], 4, 4)]).toEqual([1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1]);
  });
});

describe("an area", () => {
  it("is accepted if it encloses something, even along the frame's border", () => {
    expect(() => checkPolygon(box(0, 0, 1, 1), "zone yard")).not.toThrow();
    expect(() => checkPolygon([...box(0.1, 0.1, 0.2, 0.11)].reverse(), "zone yard")).not.toThrow();
  });

  it.each<[string, Polygon, string]>([
    ["two points", box(0, 0, 1, 1).slice(0, 2), "zone yard needs at least 3 points, not 2"],
    ["a coordinate above 1", [...box(0, 0, 1, 1), [0.5, 1.5]], "point 5 of zone yard is [0.5, 1.5]"],
    ["a negative coordinate", [[-0.1, 0], ...box(0, 0, 1, 1)], "coordinates go from 0 to 1"],
    ["a coordinate that is not finite", [...box(0, 0, 1, 1), [Number.NaN, 0]], "coordinates go from 0 to 1"],
    ["points on a line", [0.1, 0.2, 0.3].map((x) => [x, x] as const), "zone yard has no area"],
    ["one point three times", [0, 0, 0].map((x) => [x, 1] as const), "zone yard has no area"],
  ])("is refused with %s", (_, polygon, message) => {
    expect(() => checkPolygon(polygon, "zone yard")).toThrow(InputError);
    expect(() => checkPolygon(polygon, "zone yard")).toThrow(message);
  });
});

describe("the region of a map", () => {
  // Two regions at or above 3: the left one with 2 tokens, the right one with the highest.
  const map = { rows: 3, columns: 4, data: Float32Array.of(2, 5, 0, 0, 3, 0, 0, 9, 1, 0, 2, 1) };

  it("is around the highest token, as far as tokens that share an edge or a corner reach the level", () => {
    expect(regionOf(map, 3)).toEqual({ x: 0.75, y: 1 / 3, width: 0.25, height: 1 / 3 });
    // The 9 shares a corner with the 2 below, and at level 1 an edge with the 1 as well.
    expect(regionOf(map, 2)).toEqual({ x: 0.5, y: 1 / 3, width: 0.5, height: 2 / 3 });
    expect(regionOf(map, 1)).toEqual({ x: 0.5, y: 1 / 3, width: 0.5, height: 2 / 3 });
    expect(regionOf(map, 0)).toEqual({ x: 0, y: 0, width: 1, height: 1 });
  });

  it("leaves out tokens that do not count", () => {
    const counts = Uint8Array.of(1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1);
    // Without the 9 and the 3, the highest is the 5 with the 2 to its left.
    expect(regionOf(map, 2, counts)).toEqual({ x: 0, y: 0, width: 0.5, height: 1 / 3 });
  });

  it("does not connect the end of a row with the beginning of the next", () => {
    const edges = { rows: 3, columns: 3, data: Float32Array.of(0, 0, 5, 4, 0, 0, 0, 0, 0) };
    expect(regionOf(edges, 1)).toEqual({ x: 2 / 3, y: 0, width: 1 / 3, height: 1 / 3 });
  });

  it("is missing if no token reaches the level, and ignores NaN", () => {
    expect(regionOf(map, 9.5)).toBeUndefined();
    const broken = { rows: 1, columns: 3, data: Float32Array.of(Number.NaN, 1, Number.NaN) };
    expect(regionOf(broken, 1)).toEqual({ x: 1 / 3, y: 0, width: 1 / 3, height: 1 });
    expect(regionOf(broken, 2)).toBeUndefined();
  });

  it("is the region of findRegions that has the highest score", () => {
    const random = new Random(11);
    for (let round = 0; round < 50; round++) {
      const [rows, columns] = [1 + random.integer(9), 1 + random.integer(9)];
      const drawn = { rows, columns, data: Float32Array.from({ length: rows * columns }, () => random.next()) };
      const regions = findRegions(drawn, 0.6, { width: columns, height: rows });
      const [highest] = regions.sort((a, b) => b.score - a.score);
      const box = highest && {
        ...{ x: highest.x1 / columns, y: highest.y1 / rows },
        ...{ width: (highest.x2 - highest.x1 + 1) / columns, height: (highest.y2 - highest.y1 + 1) / rows },
      };
      expect(regionOf(drawn, 0.6)).toEqual(box);
    }
  });
});
