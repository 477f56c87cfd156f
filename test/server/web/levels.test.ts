import { expect, test } from "vitest";
import { Levels } from "../../../src/server/web/levels.js";
import { FakeWatch } from "./fake_watch.js";

function begun() {
  const clock = { now: 100 };
  const watch = new FakeWatch("/nowhere", "front");
  const levels = new Levels(() => clock.now);
  watch.feed.listen(levels);
  const [camera] = watch.cameras;
  const score = (wall: number, level: number) =>
    watch.outcome(camera, { level, time: { steady: wall / 1000, wall, stream: 0 } });
  return { clock, levels, score };
}

test("each second keeps its highest level, for ten minutes", () => {
  const { levels, score } = begun();
  for (let second = 0; second < 700; second++) {
    for (const level of [0.1, 0.3, 0.2]) score(1000 * second + 1000 * level, level + second);
  }
  const points = levels.pointsOf("front");
  expect(points).toHaveLength(600);
  expect(points[0]).toEqual([100_000, 100.3, null]);
  expect(points.at(-1)).toEqual([699_000, 699.3, null]);
  expect(levels.pointsOf("other")).toEqual([]);
});

test("a clock that is set back begins a new curve", () => {
  const { levels, score } = begun();
  score(5000, 1);
  score(6000, 1);
  score(2000, 2);
  expect(levels.pointsOf("front")).toEqual([[2000, 2, null]]);
});

test("frames per second are those of the last five seconds", () => {
  const { clock, levels, score } = begun();
  expect(levels.fpsOf("front")).toBe(0);
  for (let i = 0; i < 100; i++) {
    clock.now += 0.1;
    score(0, 1);
  }
  expect(levels.fpsOf("front")).toBeCloseTo(10, 0);
  clock.now += 2.55;
  expect(levels.fpsOf("front")).toBeCloseTo(5, 0);
  clock.now += 5;
  expect(levels.fpsOf("front")).toBe(0);
});
