import { describe, expect, it } from "vitest";
import { EvenSample, ForegroundFinder, medianImage } from "../../../src/data/anomalies/foreground.js";
import type { BgrImage } from "../../../src/data/resize.js";
import { type Bgr, fill, flat, lit } from "../../support/walkers.js";

describe("the background", () => {
  it("is the median over time", async () => {
    const images = [9, 200, 11, 10, 10].map((value) => flat(4, 3, value));
    expect((await medianImage(images)).data).toEqual(flat(4, 3, 10).data);
  });

  it("comes from evenly spread frames, whatever the length", () => {
    for (const length of [1, 7, 8, 9, 100, 1000]) {
      const sample = new EvenSample<number>(4);
      for (let i = 0; i < length; i++) sample.add(i);
      const step = (sample.items[1] ?? 1) - sample.items[0];
      expect(sample.items).toEqual(sample.items.map((_, i) => i * step));
      expect(sample.items.length).toBeLessThanOrEqual(8);
      expect(sample.items.at(-1)! + step).toBeGreaterThanOrEqual(length);
    }
  });
});

describe("the foreground", () => {
  const background = flat(120, 80, 120);
  /** Somebody on the background. */
  const image = fill(flat(120, 80, 120), [40, 30, 50, 54], 20, 30, 40);
  const finder = new ForegroundFinder(background, [background]);

  it("is found in light that differs a little, at the same place", () => {
    const [object, ...others] = finder.objects(image);
    expect(others).toEqual([]);
    expect([object.x, object.y]).toEqual([45, 42]);
    const found = (light: number | Bgr) => finder.objects(lit(image, light));
    for (const light of [0.92, 0.95, 0.98, 1.02, 1.05, 1.08, [0.95, 1, 1.05]] as const) {
      expect(found(light), `light ${light}`).toEqual([object]);
    }
    // Without anybody, there is nothing.
    expect(finder.objects(lit(background, 1.05))).toEqual([]);
  });

  it("is nothing in light that differs by more than three quarters of the threshold, in a channel or in all", () => {
    expect(finder.threshold).toBe(14);
    // 10.5 of 120 grey levels are 8.75 %.
    for (const light of [0.5, 0.91, 1.09, 1.5, [1, 1.09, 1], [0.91, 1, 1]] as const) {
      expect(finder.objects(lit(image, light)), `light ${light}`).toEqual([]);
    }
    // On a background of half the brightness, 15 % are nine grey levels, 20 % twelve.
    const dark = new ForegroundFinder(flat(120, 80, 60), []);
    const bright = fill(flat(120, 80, 60), [40, 30, 50, 54], 120, 130, 140);
    expect(dark.objects(lit(bright, 1.15)).length).toBe(1);
    expect(dark.objects(lit(bright, 1.2))).toEqual([]);
  });

  it("differs from the background by more than a threshold, which follows the noise, not the light", () => {
    // Two thirds of the pixels are `noise` grey levels away from the background.
    const noisy = (noise: number): BgrImage => ({
      ...background,
      data: background.data.map((value, i) => value + noise * ((Math.floor(i / 3) % 3) - 1)),
    });
    const thresholds = [0, 2, 4, 12, 30].map((noise) => {
      const { threshold } = new ForegroundFinder(background, [noisy(noise)]);
      return threshold;
    });
    expect(thresholds).toEqual([14, 14, 3 * 4 + 8, 3 * 12 + 8, 60]);
    const drifting = [0.9, 0.95, 1.05, 1.1].map((light) => lit(noisy(2), light));
    expect(new ForegroundFinder(background, drifting).threshold).toBe(14);
  });
});
