import { expect, test } from "vitest";
import { FrameTimes, PlayClock } from "../../../src/server/camera/frame_time.js";

/** A clock that is set by hand. */
function clock() {
  const now = { steady: 100, wall: 5_000_000 };
  return { now, steady: () => now.steady, wall: () => now.wall };
}

test("times follow the stream's clock, however frames arrive", () => {
  const machine = clock();
  const times = new FrameTimes(10, true, machine);
  expect(times.of(0)).toEqual({ steady: 100, wall: 5_000_000, stream: 0 });
  machine.now.steady += 0.9;
  machine.now.wall += 900;
  expect(times.of(1)).toEqual({ steady: 100.1, wall: 5_000_100, stream: 0.1 });
});

test("a live stream that drifts is set right, and steady time never falls", () => {
  const machine = clock();
  const times = new FrameTimes(10, true, machine);
  times.of(0);
  machine.now.steady += 5;
  machine.now.wall += 5000;
  expect(times.of(10)).toEqual({ steady: 105, wall: 5_005_000, stream: 1 });
  // Ten seconds of stream within no time.
  const { steady } = times.of(110);
  expect(steady).toBeGreaterThanOrEqual(105);
});

test("somebody who sets the machine's clock back does not move steady time", () => {
  const machine = clock();
  const times = new FrameTimes(10, true, machine);
  times.of(0);
  machine.now.wall -= 3_600_000;
  machine.now.steady += 0.1;
  expect(times.of(1).steady).toBeCloseTo(100.1, 6);
});

test("a file that is read fast keeps its own times", () => {
  const times = new FrameTimes(10, false, clock());
  times.of(0);
  expect(times.of(36_000)).toEqual({ steady: 3700, wall: 8_600_000, stream: 3600 });
});

test("the clock of a file that is read fast goes on from frame to frame, over connections", () => {
  const played = new PlayClock();
  const [steady, wall] = [played.steady(), played.wall()];
  const first = new FrameTimes(10, false, played);
  for (const index of [0, 1, 2]) first.of(index);
  expect(played.steady()).toBeCloseTo(steady + 0.3, 6);
  const next = new FrameTimes(10, false, played);
  expect(next.of(0).steady).toBeCloseTo(steady + 0.3, 6);
  expect(next.of(3_599).wall).toBeCloseTo(wall + 360_200, -1);
});
