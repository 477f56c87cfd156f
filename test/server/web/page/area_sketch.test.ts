import { describe, expect, test } from "vitest";
import {
  type Area,
  AreaSketch,
  type Corner,
  rectangle,
  zoneName,
} from "../../../../src/server/web/page/area_sketch.js";

const none = { zones: [], ignore: [], privacy: [] };
const triangle: Corner[] = [
  [0, 0],
  [0.5, 0],
  [0.5, 0.5],
];

describe("an area that is drawn", () => {
  test("a polygon needs three corners that cover something", () => {
    const sketch = new AreaSketch(none);
    expect(sketch.missing("zone")).toBe(3);
    for (const corner of triangle) {
      expect(sketch.finish("zone", "door")).toBe(false);
      expect(sketch.add("zone", corner)).toBe(false);
    }
    expect(sketch.missing("zone")).toBe(0);
    expect(sketch.finish("zone", "Back Door")).toBe(true);
    expect(sketch.areas).toEqual([{ kind: "zone", name: "back-door", corners: triangle }]);
    expect(sketch.corners).toEqual([]);
    for (const x of [0.1, 0.2, 0.3]) sketch.add("ignore", [x, x]);
    expect(sketch.finish("ignore", "")).toBe(false);
  });

  test("a rectangle needs two opposite corners", () => {
    const sketch = new AreaSketch(none);
    expect(sketch.add("privacy", [0.8, 0.1])).toBe(false);
    expect(sketch.finish("privacy", "")).toBe(false);
    expect(sketch.add("privacy", [0.2, 0.3])).toBe(true);
    expect(sketch.finish("privacy", "x")).toBe(true);
    expect(sketch.areas[0]).toEqual({
      kind: "privacy",
      name: "",
      corners: [
        [0.8, 0.1],
        [0.2, 0.3],
      ],
    });
    expect(rectangle(sketch.areas[0].corners)).toEqual([
      [0.8, 0.1],
      [0.2, 0.1],
      [0.2, 0.3],
      [0.8, 0.3],
    ]);
  });

  test("corners stay within the picture, with three decimals", () => {
    const sketch = new AreaSketch(none);
    sketch.add("zone", [-0.2, 1.3]);
    sketch.add("zone", [0.12345, 0.98765]);
    expect(sketch.corners).toEqual([
      [0, 1],
      [0.123, 0.988],
    ]);
  });

  test("steps are taken back, one after the other, and never an area of the configuration", () => {
    const sketch = new AreaSketch({ ...none, ignore: [triangle] });
    const configured = structuredClone(sketch.areas);
    expect(sketch.canUndo).toBe(false);
    for (const corner of triangle) sketch.add("zone", corner);
    sketch.finish("zone", "door");
    const held = sketch.near([0, 0], 0.01, () => 0)!;
    sketch.remember();
    sketch.move(held, [0.3, 0.3]);
    sketch.remove(sketch.areas[0]);
    expect(sketch.areas.map(({ name }) => name)).toEqual(["door"]);
    sketch.undo(); // removed
    sketch.undo(); // moved
    expect(sketch.areas).toEqual([...configured, { kind: "zone", name: "door", corners: triangle }]);
    sketch.undo(); // finished
    expect([sketch.areas, sketch.corners]).toEqual([configured, triangle]);
    for (let n = 2; n >= 0; n--) {
      sketch.undo();
      expect(sketch.corners).toEqual(triangle.slice(0, n));
    }
    expect(sketch.canUndo).toBe(false);
    sketch.undo();
    expect(sketch.areas).toEqual(configured);
  });

  test("a rectangle is taken back to its first corner; what was given up does not come back", () => {
    const sketch = new AreaSketch(none);
    sketch.add("privacy", [0.1, 0.1]);
    sketch.add("privacy", [0.2, 0.2]);
    sketch.finish("privacy", "");
    sketch.undo();
    expect([sketch.areas, sketch.corners]).toEqual([[], [[0.1, 0.1]]]);
    sketch.clear();
    expect(sketch.corners).toEqual([]);
    sketch.undo();
    expect([sketch.areas, sketch.corners, sketch.canUndo]).toEqual([[], [], false]);
  });
});

test("it begins with the areas of the configuration, and leaves those alone", () => {
  const polygon = Object.freeze([...triangle]);
  const sketch = new AreaSketch({
    zones: [{ name: "door", polygon }],
    ignore: [polygon],
    privacy: [{ x: 0.1, y: 0.2, width: 0.2, height: 0.3 }],
  });
  expect(sketch.areas.map(({ kind, name }) => [kind, name])).toEqual([
    ["zone", "door"],
    ["ignore", ""],
    ["privacy", ""],
  ]);
  expect(sketch.areas[2].corners).toEqual([
    [0.1, 0.2],
    [0.3, 0.5],
  ]);
  const far = (a: Corner, b: Corner) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const near = sketch.near([0.29, 0.49], 0.05, far) as { area: Area; i: number };
  expect(near).toMatchObject({ i: 1, area: { kind: "privacy" } });
  sketch.move(near, [0.4, 2]);
  expect(sketch.areas[2].corners[1]).toEqual([0.4, 1]);
  expect(sketch.near([0.8, 0.8], 0.05, far)).toBeUndefined();
  expect(polygon).toEqual(triangle);
});

test("zones have names as the configuration takes them, each its own", () => {
  expect(["Haustür", "  Tor 2 ", "-x-", "日本", "a".repeat(50), "A_b"].map(zoneName)).toEqual([
    ...["haustur", "tor-2", "x", "", "a".repeat(40), "a_b"],
  ]);
  const sketch = new AreaSketch({ ...none, zones: [{ name: "zone", polygon: triangle }] });
  for (const name of ["", "door", "Door", "door"]) {
    for (const corner of triangle) sketch.add("zone", corner);
    sketch.finish("zone", name);
  }
  expect(sketch.areas.map(({ name }) => name)).toEqual(["zone", "zone-2", "door", "door-2", "door-3"]);
});
