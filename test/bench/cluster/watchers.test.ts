import { expect, test } from "vitest";
import { Watchers } from "../../../src/bench/cluster/watchers.js";

test("cameras are counted once each, by who watches them", () => {
  const watchers = new Watchers();
  watchers.take("a", 10, ["x", "y"]);
  watchers.take("b", 20, ["z"]);
  watchers.take("a", 30, ["x", "y", "w"]);
  expect(watchers).toMatchObject({ watched: 4, begins: 4, overlaps: 0, last: 30 });
  expect(watchers.spread).toEqual([
    { worker: "b", cameras: 1 },
    { worker: "a", cameras: 3 },
  ]);
  watchers.take("a", 40, ["w"]);
  expect(watchers.watched).toBe(2);
});

test("a camera that two workers watch at a time is an overlap; one that goes over is none", () => {
  const watchers = new Watchers();
  watchers.take("a", 10, ["x", "y"]);
  watchers.take("b", 20, ["x"]);
  expect(watchers).toMatchObject({ watched: 2, overlaps: 1 });
  watchers.take("a", 30, []);
  watchers.take("b", 40, ["x", "y"]);
  expect(watchers).toMatchObject({ watched: 2, begins: 4, overlaps: 1 });
});

test("what a lost worker watched is watched by nobody, until others begin", () => {
  const watchers = new Watchers();
  watchers.take("a", 10, ["x", "y"]);
  const lost = watchers.lose("a");
  expect(lost).toEqual(["x", "y"]);
  expect(watchers.watched).toBe(0);
  expect(watchers.lose("a")).toEqual([]);
  watchers.take("b", 30, ["y"]);
  expect(watchers.begunSince(lost, 20)).toEqual([30]);
  expect(watchers.overlaps).toBe(0);
});
