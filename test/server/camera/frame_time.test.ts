import { expect, test } from "vitest";
import {
  FrameTimes,
  ImageTimes,
  PlayClock,
  RecordedClock,
  RecordingTimes,
} from "../../../src/server/camera/frame_time.js";

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

test("if somebody sets the machine's clock, the time for people follows, and steady time does not", () => {
  for (const step of [-3_600_000, 3_600_000]) {
    const machine = clock();
    const times = new FrameTimes(10, true, machine);
    times.of(0);
    machine.now.wall += step;
    machine.now.steady += 0.1;
    const time = times.of(1);
    expect(time.steady).toBeCloseTo(100.1, 6);
    expect(time.wall).toBe(5_000_000 + step);
    machine.now.wall += 100;
    machine.now.steady += 0.1;
    expect(times.of(2).wall).toBe(5_000_100 + step);
  }
});

test("a file that is read fast keeps its own times", () => {
  const times = new FrameTimes(10, false, clock());
  times.of(0);
  expect(times.of(36_000)).toEqual({ steady: 3700, wall: 8_600_000, stream: 3600 });
});

test("recordings keep the distances of their times, and steady time never falls", () => {
  const recorded = new RecordedClock(clock());
  const first = new RecordingTimes(10, 1e12, recorded);
  expect(first.of(0)).toEqual({ steady: 100, wall: 1e12, stream: 0 });
  expect(first.of(100)).toEqual({ steady: 110, wall: 1e12 + 10_000, stream: 10 });
  // A second after the end of the first one.
  expect(new RecordingTimes(10, 1e12 + 11_000, recorded).of(0)).toEqual({
    steady: 111,
    wall: 1e12 + 11_000,
    stream: 0,
  });
  // An older one goes on from there.
  const older = new RecordingTimes(10, 9e11, recorded);
  expect(older.of(0)).toEqual({ steady: 111, wall: 9e11, stream: 0 });
  expect(older.of(20)).toMatchObject({ steady: 113, wall: 9e11 + 2000 });
});

test("images are frames at the wanted rate at most; a gap is where more than two are missing", () => {
  const times = new ImageTimes(10, new RecordedClock(clock()));
  // Milliseconds; the rate is a little uneven.
  const taken = [0, 95, 120, 205, 210, 300, 600, 1000, 1100].map((wall) => times.add(1e12 + wall));
  expect(taken).toEqual([true, true, false, true, false, true, true, true, true]);
  const gaps: boolean[] = [];
  const walls = [0, 1, 2, 3, 4, 5, 6].map((index) => {
    gaps.push(times.isGap(index));
    return times.of(index).wall - 1e12;
  });
  expect(walls).toEqual([0, 95, 205, 300, 600, 1000, 1100]);
  expect(gaps).toEqual([false, false, false, false, false, true, false]);
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
