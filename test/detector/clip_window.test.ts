import { describe, expect, it } from "vitest";
import { ClipWindow } from "../../src/detector/clip_window.js";

/**
 * Feeds frames of these numbers one by one.
 * @returns for each scored frame the numbers of t−3, t, t+3, t−1, t+1
 */
function neighbours(numbers: readonly number[], batch: number): Record<number, number[]> {
  const slots = ClipWindow.slotsFor(batch);
  const window = new ClipWindow<{ number: number }>(slots);
  const inSlot: number[] = [];
  const seen: Record<number, number[]> = {};
  const take = (count: number) => {
    for (const s of window.take(count)) {
      seen[s.frame.number] = [s.previous, s.current, s.next, s.before, s.after].map((slot) => inSlot[slot]);
    }
  };
  for (const number of numbers) {
    const slot = window.add({ number });
    expect(slot).toBeLessThan(slots);
    inSlot[slot] = number;
    if (window.readyCount(false) >= batch) take(batch);
  }
  for (let left = window.readyCount(true); left > 0; left = window.readyCount(true)) take(Math.min(left, batch));
  return seen;
}

/** docs/method.md §1, literally: the frame of that number if it exists, else frame t. */
function expected(numbers: readonly number[]): Record<number, number[]> {
  const at = (t: number, offset: number) => (numbers.includes(t + offset) ? t + offset : t);
  return Object.fromEntries(numbers.map((t) => [t, [at(t, -3), t, at(t, 3), at(t, -1), at(t, 1)]]));
}

describe("a clip window", () => {
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  it.each([
    ["a long video", range(0, 40)],
    ["one frame", [0]],
    ["two frames", [0, 1]],
    ["five frames", range(0, 4)],
    ["frames numbered from 1", range(1, 12)],
    ["gaps", [...range(0, 6), ...range(9, 15), 100, 101, ...range(200, 210)]],
    ["every third frame", [0, 3, 6, 9, 12, 15, 18, 21, 24]],
    ["every fifth frame", [0, 5, 10, 15, 20, 25]],
  ])("finds neighbours by frame number: %s", (_, numbers) => {
    for (const batch of [1, 2, 3, 8, 64]) expect(neighbours(numbers, batch)).toEqual(expected(numbers));
  });

  it("leaves out frames, which stay neighbours of those that follow", () => {
    const window = new ClipWindow<{ number: number }>(ClipWindow.slotsFor(1));
    const inSlot: number[] = [];
    const add = (number: number) => {
      inSlot[window.add({ number })] = number;
    };
    for (const number of range(0, 7)) add(number);
    expect(window.nextSlot).toBeUndefined();
    // Frame 4 needs frame 1, so only frame 0 makes room.
    window.skip(4);
    expect(window.readyCount(false)).toBe(1);
    add(8);
    expect(window.nextSlot).toBeUndefined();
    const [{ frame, previous, next }] = window.take(1);
    expect([frame.number, inSlot[previous], inSlot[next]]).toEqual([4, 1, 7]);
  });

  it("refuses numbers that do not rise", () => {
    const window = new ClipWindow<{ number: number }>(8);
    window.add({ number: 5 });
    expect(() => window.add({ number: 5 })).toThrow("frame 5 comes after frame 5");
  });
});
