import { describe, expect, it } from "vitest";
import { augmentationDefaults, drawAugmentation } from "../../src/data/augmentation.js";
import { uniformGenerator } from "../../src/random.js";

describe("drawAugmentation", () => {
  const options = { ...augmentationDefaults, share: 1, light: 0.25, noise: 6, shake: 2 };
  const draws = (how = options, count = 2000) => {
    const random = uniformGenerator(3);
    return Array.from({ length: count }, () => drawAugmentation(random, how));
  };

  it("changes the share of samples that is asked for", () => {
    for (const share of [0, 0.3, 1]) {
      const count = draws({ ...options, share }).filter((one) => one).length;
      // Four standard deviations.
      expect(Math.abs(count - 2000 * share)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * share * (1 - share)));
    }
  });

  it("is the same for the same random numbers", () => {
    expect(draws(options, 20)).toEqual(draws(options, 20));
  });

  it("changes the light within its limits; one in four is like night", () => {
    let night = 0;
    for (const one of draws()) {
      const { frames, noise, seed } = one!;
      const gains = frames.map(({ gain }) => gain);
      // Light flickers by 3 % from frame to frame, night or not.
      expect(Math.max(...gains) / Math.min(...gains)).toBeLessThanOrEqual(1.03 / 0.97);
      const isNight = Math.max(...gains) < 0.65;
      if (isNight) night++;
      const [least, most] = isNight ? [0.3, 0.6] : [1 / 1.25, 1.25];
      expect(Math.min(...gains)).toBeGreaterThanOrEqual(0.97 * least);
      expect(Math.max(...gains)).toBeLessThanOrEqual(1.03 * most);
      const [bias] = frames.map((frame) => frame.bias);
      expect(frames.every((frame) => frame.bias === bias)).toBe(true);
      expect(bias).toBeGreaterThanOrEqual(isNight ? 0 : -15);
      expect(bias).toBeLessThanOrEqual(isNight ? 20 : 15);
      expect([noise >= 0, noise <= 6, Number.isInteger(seed), seed >= 0, seed < 2 ** 32]).toEqual(Array(5).fill(true));
    }
    expect(Math.abs(night - 500)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * 0.25 * 0.75));
  });

  it("shakes half of them, each frame by whole pixels", () => {
    const shifts = draws().map((one) => one!.frames.flatMap(({ x, y }) => [x, y]));
    for (const shift of shifts) for (const one of shift) expect([-2, -1, 0, 1, 2]).toContain(one + 0);
    // Of those that are shaken, one in 5^6 does not move.
    const still = shifts.filter((shift) => shift.every((one) => one === 0)).length;
    expect(Math.abs(still - 1000)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * 0.25));
    expect(new Set(shifts.flat().map((one) => one + 0)).size).toBe(5);
    // Frames of a sample shake apart from each other.
    expect(shifts.filter(([x, , other]) => x !== other).length).toBeGreaterThan(600);
    const steady = draws({ ...options, shake: 0 }).flatMap((one) => one!.frames.flatMap(({ x, y }) => [x, y]));
    expect(steady.every((one) => one === 0)).toBe(true);
  });
});
