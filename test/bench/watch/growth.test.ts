import { expect, test } from "vitest";
import { growthOf } from "../../../src/bench/watch/growth.js";

/** Sixteen samples, one per 1,000 frames. */
const samples = (value: (i: number) => number) =>
  Array.from({ length: 16 }, (_, i) => ({ frames: 1000 * (i + 1), value: value(i) }));

test("what fills up at the beginning, and then jumps to and fro, is flat", () => {
  const found = growthOf(
    samples((i) => (i < 4 ? 10 * i : 100 + (i % 2))),
    5,
  );
  expect(found).toMatchObject({ middle: 101, last: 101, isFlat: true });
});

test("what grows with every frame is not flat, and its growth is that of the line", () => {
  // 3 per 1,000 frames. The middle quarter is samples 6 to 9, the last one 12 to 15.
  const found = growthOf(
    samples((i) => 3 * i),
    5,
  );
  expect(found.isFlat).toBe(false);
  expect(found.middle).toBe(24);
  expect(found.last).toBe(42);
  expect(found.per100k).toBeCloseTo(300, 9);
});

test("what leaks slowly is flat only if so much is allowed", () => {
  const slow = samples((i) => 100 + i);
  expect(growthOf(slow, 5).isFlat).toBe(false);
  expect(growthOf(slow, 6).isFlat).toBe(true);
});
