import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UnscoredFrames, type UnscoredOptions } from "../../../src/server/camera/unscored.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** Seconds. */
let now = 0;
const never = new AbortController().signal;

function frames(options: Partial<UnscoredOptions> = {}): UnscoredFrames {
  const unscored = new UnscoredFrames({
    ...{ most: 2, patience: Number.POSITIVE_INFINITY, clock: { steady: () => now } },
    ...options,
  });
  unscored.connected(0);
  unscored.ready();
  return unscored;
}

/** Waits for room. @returns whether it has come */
function waitFor(unscored: UnscoredFrames, signal = never): () => Promise<boolean> {
  let isOver = false;
  void unscored.room(signal).then(() => {
    isOver = true;
  });
  return async () => {
    await vi.advanceTimersByTimeAsync(0);
    return isOver;
  };
}

test("a source waits while there are many frames without scores, and until the engine runs", async () => {
  const unscored = frames();
  unscored.add(0, 0);
  expect(await waitFor(unscored)()).toBe(true);
  unscored.add(1, 0);
  const isOver = waitFor(unscored);
  await vi.advanceTimersByTimeAsync(1e9);
  expect(await isOver()).toBe(false);
  unscored.score(0);
  expect(await isOver()).toBe(true);
  unscored.blind();
  const isReady = waitFor(unscored);
  expect(await isReady()).toBe(false);
  unscored.ready();
  expect(await isReady()).toBe(true);
});

test("an aborted wait ends", async () => {
  const unscored = frames();
  unscored.blind();
  const stop = new AbortController();
  const isOver = waitFor(unscored, stop.signal);
  expect(await isOver()).toBe(false);
  stop.abort();
  expect(await isOver()).toBe(true);
  expect(await waitFor(unscored, stop.signal)()).toBe(true);
});

test("frames that get no score are given up once patience ends", async () => {
  const unscored = frames({ patience: 60 });
  unscored.add(0, 0);
  unscored.add(1, 0);
  const isOver = waitFor(unscored);
  await vi.advanceTimersByTimeAsync(59_000);
  expect([await isOver(), unscored.dropped]).toEqual([false, 0]);
  await vi.advanceTimersByTimeAsync(1000);
  expect([await isOver(), unscored.dropped]).toEqual([true, 2]);
  expect(vi.getTimerCount()).toBe(0);
  // Patience begins anew with each frame.
  unscored.add(2, 0);
  unscored.add(3, 0);
  const isNext = waitFor(unscored);
  await vi.advanceTimersByTimeAsync(59_000);
  unscored.score(2);
  expect(await isNext()).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("the last frames of a connection hold up nobody, and count as dropped once a later one is scored", async () => {
  const unscored = frames();
  unscored.add(0, 0);
  unscored.add(1, 0);
  unscored.connected(1000);
  expect(await waitFor(unscored)()).toBe(true);
  unscored.add(1000, 0);
  unscored.score(1000);
  expect(unscored.dropped).toBe(2);
});

test("it knows how long scores take, and counts frames that get none", () => {
  const unscored = frames();
  unscored.add(0, 10);
  unscored.add(1, 11);
  unscored.add(2, 12);
  now = 14;
  unscored.score(1);
  expect(unscored).toMatchObject({ latency: 3, scored: 14, dropped: 1 });
  unscored.refused(2);
  expect(unscored.dropped).toBe(2);
  // A score of a frame that was given up says nothing of the latency.
  unscored.add(3, 14);
  unscored.blind();
  now = 20;
  unscored.score(3);
  expect(unscored).toMatchObject({ latency: 3, scored: 20, dropped: 3 });
});
