import { expect, test } from "vitest";
import { paperFrameScore } from "../../../src/detector/frame_score.js";
import { uniformGenerator } from "../../../src/random.js";
import { Learner, misfitOf, type NormalState } from "../../../src/server/camera/learner.js";
import { usualAlarmRule } from "../../../src/watch/alarm_rule.js";

const how = { ...paperFrameScore, scoring: "top-anomaly" } as const;
const map = { rows: 1, columns: 2, data: Float32Array.of(0.1, 0.2) };

/** Shows so many seconds of normal video at 5 frames per second. @returns what was found */
function show(learner: Learner, seconds: number, seed = 1): NormalState[] {
  const random = uniformGenerator(seed);
  return Array.from({ length: 5 * seconds }, (_, i) => learner.push(i / 5, 0.2 + 0.1 * random(), map)).filter(
    (state) => state !== undefined,
  );
}

test("thresholds come after the first time, twice it, four times, and lie above all that was seen", () => {
  const found = show(new Learner(usualAlarmRule, 1, how, undefined, 100), 450);
  expect(found.map(({ seconds }) => Math.round(seconds / 10))).toEqual([10, 20, 40]);
  for (const { threshold, normal } of found) {
    expect(threshold).toBeGreaterThan(0.25);
    expect(threshold).toBeLessThan(1);
    expect(normal).toBeCloseTo(0.25, 1);
  }
});

test("a new process goes on where the last one was", () => {
  const first = new Learner(usualAlarmRule, 1, how, undefined, 100);
  expect(show(first, 80)).toEqual([]);
  const seen = JSON.parse(JSON.stringify(first.seen));
  expect(seen.blocks).toHaveLength(15);
  const second = new Learner(usualAlarmRule, 1, how, seen, 100);
  expect(second.progress).toBeCloseTo(0.8, 1);
  const [{ seconds, minutes }] = show(second, 30, 2);
  expect(seconds).toBeGreaterThan(95);
  // The last block is not over.
  expect(minutes).toHaveLength(2);
});

test("what is known already is found again only from twice as much", () => {
  const seen = { seconds: 150, blocks: Array<number>(30).fill(0.25), median: 0.25, mapHigh: 0.2 };
  const learner = new Learner(usualAlarmRule, 1, how, seen, 100);
  expect(show(learner, 40)).toEqual([]);
  expect(new Learner(usualAlarmRule, 1, how, undefined, 100).seen).toBeUndefined();
});

test("a model that finds normal video abnormal is told apart, if its scores have a limit", () => {
  const state = (normal: number, threshold = 0.5) => ({ normal, threshold });
  const bounded = { frameScore: how };
  expect(misfitOf(state(0.2), bounded)).toBeUndefined();
  expect(misfitOf(state(0.99), bounded)).toContain("levels above 0.99, of at most 1: the model does not fit");
  expect(misfitOf(state(0.2, 0.99), bounded)).toBeUndefined();
  expect(misfitOf(state(0.2, 0.9995), bounded)).toMatch(
    /^levels are at most 1: nothing will ever reach the threshold 0\.9995; something abnormal was in/,
  );
  expect(misfitOf(state(0.2, 1), bounded)).toContain("the threshold 1.0000");
  // The errors of a mean have no limit.
  expect(misfitOf(state(0.99, 3), { frameScore: { ...how, scoring: "mean" } })).toBeUndefined();
});
