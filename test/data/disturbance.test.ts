import { describe, expect, it } from "vitest";
import { type Disturbance, disturb, disturbances } from "../../src/data/disturbance.js";
import type { BgrImage } from "../../src/data/resize.js";
import { Random } from "../support/numbers.js";
import { flat } from "../support/walkers.js";

/** Mean and standard deviation of all values. */
function spread({ data }: BgrImage): { mean: number; deviation: number } {
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  const deviation = Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
  return { mean, deviation };
}
const isGray = ({ data }: BgrImage) => data.every((value, i) => value === data[i - (i % 3)]);

describe("disturb", () => {
  it("is the same for the same position, keeps the size, and leaves the frame as it was", () => {
    const image = { width: 20, height: 12, data: new Random(1).bytes(720) };
    const before = image.data.slice();
    for (const kind of disturbances) {
      const one = disturb(kind, image, 5);
      expect([one.width, one.height, one.data.length]).toEqual([20, 12, 720]);
      expect(disturb(kind, image, 5)).toEqual(one);
      expect(image.data).toEqual(before);
    }
    for (const kind of ["light", "noise", "night"] as Disturbance[]) {
      expect(disturb(kind, image, 6)).not.toEqual(disturb(kind, image, 5));
    }
  });

  it("light: rises and falls by a third, and values stay bytes", () => {
    const values = (position: number) =>
      [100, 240].map((value) => disturb("light", flat(8, 8, value), position).data[0]);
    // sin 0 = 0, sin 1.5 = 0.9975, sin 4.5 = −0.9775.
    expect([values(0), values(12), values(36)]).toEqual([
      [100, 240],
      [133, 255],
      [67, 162],
    ]);
  });

  it("noise: with a standard deviation of eight grey levels; gray stays gray", () => {
    const noisy = disturb("noise", flat(96, 64, 128), 3);
    const { mean, deviation } = spread(noisy);
    expect(Math.abs(mean - 128)).toBeLessThan(0.5);
    expect(Math.abs(deviation - 8)).toBeLessThan(0.4);
    expect(isGray(noisy)).toBe(true);
  });

  it("night: 30 + 0.4 of each value, with noise of four grey levels", () => {
    for (const value of [50, 200]) {
      const dark = disturb("night", flat(96, 64, value), 3);
      const { mean, deviation } = spread(dark);
      expect(Math.abs(mean - (30 + 0.4 * value))).toBeLessThan(0.4);
      expect(Math.abs(deviation - 4)).toBeLessThan(0.3);
      expect(isGray(dark)).toBe(true);
    }
  });

  it("compression: keeps flat blocks, loses fine patterns, and leaves what is no whole block", () => {
    const random = new Random(2);
    // 20 × 12 pixels hold two blocks of 8 × 8.
    const flatBlocks = disturb("compression", flat(20, 12, 101), 0);
    // The mean of a block is an eighth of its coefficient, which is rounded to a multiple of 12.
    for (const value of flatBlocks.data) expect(Math.abs(value - 101)).toBeLessThanOrEqual(1);
    const data = Uint8Array.from({ length: 20 * 12 * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % 20, Math.floor(i / 60)];
      return x < 16 && y < 8 ? 101 + 3 * (-1) ** (x + y) : random.integer(256);
    });
    const image = disturb("compression", { width: 20, height: 12, data }, 0);
    const inside = new Set<number>();
    for (const [i, value] of image.data.entries()) {
      const [x, y] = [Math.floor(i / 3) % 20, Math.floor(i / 60)];
      if (x < 16 && y < 8) inside.add(value);
      else expect(value).toBe(data[i]);
    }
    expect(inside.size).toBe(1);
    // A step from dark to bright stays.
    const step = {
      width: 8,
      height: 8,
      data: Uint8Array.from({ length: 192 }, (_, i) => (Math.floor(i / 3) % 8 < 4 ? 40 : 200)),
    };
    const kept = disturb("compression", step, 0).data;
    expect(Math.abs(kept[0] - 40)).toBeLessThan(20);
    expect(Math.abs(kept[21] - 200)).toBeLessThan(20);
  });

  it("shaking: shifts by a pixel at most at 240 lines, the border's pixels stand in", () => {
    const image = { width: 6, height: 240, data: new Random(3).bytes(6 * 240 * 3) };
    const shiftedBy = (dx: number, dy: number) =>
      Uint8Array.from(image.data, (_, i) => {
        const [x, y] = [Math.floor(i / 3) % 6, Math.floor(i / 18)];
        const [from, row] = [Math.min(5, Math.max(0, x + dx)), Math.min(239, Math.max(0, y + dy))];
        return image.data[(row * 6 + from) * 3 + (i % 3)];
      });
    const shifts = [-1, 0, 1].flatMap((dx) => [-1, 0, 1].map((dy) => Buffer.from(shiftedBy(dx, dy))));
    const seen = Array.from({ length: 80 }, (_, position) => {
      const { data } = disturb("shaking", image, position);
      return shifts.findIndex((shift) => shift.equals(data));
    });
    expect(seen).not.toContain(-1);
    expect(new Set(seen).size).toBe(9);
  });
});
