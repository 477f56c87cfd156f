import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { lumaPicture } from "../../src/watch/luma.js";

/** A frame of gray pixels. */
const gray = (...levels: number[]) => Uint8Array.from(levels.flatMap((level) => [level, level, level]));

describe("a small gray picture", () => {
  it("weighs the channels as BT.601 does", () => {
    const frame = Uint8Array.of(200, 0, 0, 0, 200, 0, 0, 0, 200, 255, 255, 255);
    // 200 × 0.114 = 22.8, 200 × 0.587 = 117.4, 200 × 0.299 = 59.8
    expect(lumaPicture(frame, 4, 1, 4, 1)).toEqual({ data: Uint8Array.of(23, 117, 60, 255), width: 4, height: 1 });
  });

  it("has the mean of the area that each pixel covers", () => {
    // The left 2 × 2 pixels: 10, 20, 30, 40; the right ones 100, 100, 200, 200.
    const frame = gray(10, 20, 100, 100, 30, 40, 200, 200);
    expect([...lumaPicture(frame, 4, 2, 2, 1).data]).toEqual([25, 150]);
    expect([...lumaPicture(frame, 4, 2, 1, 1).data]).toEqual([88]); // 87.5
    expect([...lumaPicture(frame, 4, 2, 2, 2).data]).toEqual([15, 100, 35, 200]);
  });

  it("shares pixels between two areas", () => {
    // From three to two: the first is (0 + 90 / 2) / 1.5, the second (90 / 2 + 180) / 1.5.
    expect([...lumaPicture(gray(0, 90, 180), 3, 1, 2, 1).data]).toEqual([30, 150]);
    expect([...lumaPicture(gray(0, 90, 180), 1, 3, 1, 2).data]).toEqual([30, 150]);
  });

  it("keeps a flat frame flat at any size", () => {
    const frame = new Uint8Array(3 * 37 * 23).fill(77);
    const { data } = lumaPicture(frame, 37, 23, 10, 54);
    expect(data).toHaveLength(540);
    expect(new Set(data)).toEqual(new Set([77]));
  });

  it("is refused for sizes that cannot be", () => {
    expect(() => lumaPicture(gray(1, 2), 3, 1, 1, 1)).toThrow("a frame of 3×1 has 9 bytes, not 6");
    expect(() => lumaPicture(gray(1, 2), 2, 1, 0, 1)).toThrow(InputError);
    expect(() => lumaPicture(gray(1, 2), 2, 1, 1.5, 1)).toThrow("1.5 is not a picture's size");
  });
});
