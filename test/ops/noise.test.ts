import { describe, expect, it } from "vitest";
import { noiseOp } from "../../src/ops/noise.js";
import { evaluateOne, useGpu } from "../support/gpu.js";
import { packSamples } from "../support/images.js";
import { rank } from "../support/reference.js";

const gpu = useGpu();

describe("noise", () => {
  async function noise(seed: number, frames: readonly number[], tokens: number): Promise<number[][]> {
    const got = await evaluateOne(gpu(), (bench) => {
      const samples = bench.input([frames.length, 8], packSamples(frames.map((frame) => ({ frame }))));
      const seeds = bench.input([1], Uint32Array.of(seed));
      return bench.graph.apply(noiseOp, { samples, seed: seeds }, { tokens })[0];
    });
    return frames.map((_, i) => Array.from(got.subarray(i * tokens, (i + 1) * tokens)));
  }

  it("is uniform in [0, 1)", async () => {
    const frames = Array.from({ length: 64 }, (_, i) => i);
    const values = (await noise(1, frames, 800)).flat();
    const n = values.length;
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(values.reduce((a, v) => Math.max(a, v), 0)).toBeLessThan(1);
    const mean = values.reduce((a, v) => a + v, 0) / n;
    const variance = values.reduce((a, v) => a + (v - mean) ** 2, 0) / n;
    // Five standard deviations of the estimates: σ = √(1/12n) of the mean, √(1/180n) of the
    // variance.
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
    // χ² over 64 bins has mean 63 and σ √126.
    const bins = new Array<number>(64).fill(0);
    for (const v of values) bins[Math.floor(v * 64)] += 1;
    const chi2 = bins.reduce((a, count) => a + (count - n / 64) ** 2 / (n / 64), 0);
    expect(Math.abs(chi2 - 63)).toBeLessThan(5 * Math.sqrt(126));
  });

  it("differs from frame to frame, from seed to seed, and is not correlated between them", async () => {
    const tokens = 800;
    const [a, b] = (await noise(7, [100, 101], tokens)) as [number[], number[]];
    const [c] = (await noise(8, [100], tokens)) as [number[]];
    // Noise shifted by a token or a frame would repeat masks, so shifted copies are compared too.
    const shifted = [...a.slice(1), a[0]];
    for (const [x, y] of [
      [a, b],
      [a, c],
      [b, c],
      [a, shifted],
      [b, shifted],
    ] as const) {
      const correlation = x.reduce((sum, v, i) => sum + (v - 0.5) * (y[i] - 0.5), 0) / (tokens / 12);
      expect(Math.abs(correlation)).toBeLessThan(5 / Math.sqrt(tokens));
    }
    expect(new Set([...a, ...b, ...c]).size).toBeGreaterThan(3 * tokens - 10);
  });

  it("depends on seed and frame only, not on the place in the batch or on the batch's size", async () => {
    const [alone] = await noise(42, [9000], 50);
    const [, , third] = await noise(42, [3, 4, 9000], 50);
    expect(third).toEqual(alone);
    expect(await noise(42, [9000, 9000], 50)).toEqual([alone, alone]);
    expect(await noise(43, [9000], 50)).not.toEqual([alone]);
  });

  it("keeps every token about equally often", async () => {
    const tokens = 24;
    const frames = Array.from({ length: 400 }, (_, i) => i);
    const counts = new Array<number>(tokens).fill(0);
    for (const keys of await noise(3, frames, tokens)) {
      for (const token of rank(keys).idsShuffle.slice(0, tokens / 2)) counts[token] += 1;
    }
    // Binomial(400, 1/2): σ = 10.
    for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(50);
  });
});
