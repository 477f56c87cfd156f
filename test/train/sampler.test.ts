import { describe, expect, it } from "vitest";
import { pseudoAnomalyDefaults } from "../../src/data/anomalies/pseudo_anomaly.js";
import { Sampler } from "../../src/train/sampler.js";
import { Random } from "../support/numbers.js";
import { loadSet, noise } from "../support/training_set.js";

describe("sampler", () => {
  it("takes every frame once per epoch, in an order that depends on seed and epoch only", async () => {
    const random = new Random(3);
    const set = await loadSet([noise(random, "v", { height: 8, width: 8 }, [...Array(40).keys()]).video], "none");
    const options = { seed: 7, size: { height: 8, width: 8 }, share: 0.25, pseudo: pseudoAnomalyDefaults };
    const order = (sampler: Sampler, epoch: number) =>
      Array.from({ length: 40 }, (_, i) => sampler.draw(epoch * 40 + i, epoch, i).frames[1]!);
    const sampler = new Sampler(set, options);
    const [first, second] = [order(sampler, 0), order(sampler, 1)];
    expect([...first].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect([...second].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(second).not.toEqual(first);
    expect(first).not.toEqual([...Array(40).keys()]);
    expect(order(new Sampler(set, options), 1)).toEqual(second);
    expect(order(new Sampler(set, { ...options, seed: 8 }), 1)).not.toEqual(second);
  });

  it("draws abnormal samples at the given rate", async () => {
    const random = new Random(4);
    const own = noise(random, "v", { height: 8, width: 8 }, [...Array(50).keys()]);
    const abnormal = { frames: own.video.open, masks: own.video.open };
    const set = await loadSet([{ ...own.video, abnormal }], "files");
    const size = { height: 8, width: 8 };
    for (const share of [0, 0.25, 1]) {
      const sampler = new Sampler(set, { seed: 1, size, share, pseudo: pseudoAnomalyDefaults });
      const count = Array.from({ length: 2000 }, (_, i) => sampler.draw(i, Math.floor(i / 50), i % 50)).filter(
        ({ anomaly }) => anomaly,
      ).length;
      // Four standard deviations.
      expect(Math.abs(count - 2000 * share)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * share * (1 - share)));
    }
  });
});
