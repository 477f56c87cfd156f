import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/graph.js";
import { noiseOp, patchMotionOp, rankTokensOp } from "../../src/ops/masking.js";
import { casesFor, evaluate, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { patchMaximum, rank } from "../support/reference.js";

const gpu = useGpu();

describe("ranking tokens", () => {
  async function check(keys: readonly Float32Array[], keep: number): Promise<void> {
    const tokens = keys[0].length;
    const { idsRestore, idsKeep } = await evaluate(gpu(), (bench) => {
      const input = bench.input([keys.length, tokens], Float32Array.from(keys.flatMap((k) => [...k])));
      const [restore, kept] = bench.graph.apply(rankTokensOp, [input], { keep }) as [Tensor, Tensor];
      return { idsRestore: restore, idsKeep: kept };
    });
    const want = keys.map(rank);
    expect(Array.from(idsRestore)).toEqual(want.flatMap((w) => w.idsRestore));
    expect(Array.from(idsKeep)).toEqual(want.flatMap((w) => w.idsShuffle.slice(0, keep)));
  }

  for (const { batch, tokens, keep } of casesFor(
    [
      { batch: 1, tokens: 1, keep: 1 },
      { batch: 3, tokens: 24, keep: 12 },
      { batch: 2, tokens: 33, keep: 33 },
      { batch: 1, tokens: 101, keep: 25 },
      { batch: 2, tokens: 800, keep: 400 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${keep} of ${tokens}`, () => {
      const random = new Random(tokens);
      return check(
        Array.from({ length: batch }, () => random.floats(tokens, 0, 1)),
        keep,
      );
    });
  }

  it("keeps the order of equal keys", async () => {
    const random = new Random(5);
    const few = Array.from({ length: 3 }, () => Float32Array.from({ length: 50 }, () => random.integer(4)));
    await check(few, 25);
    await check([new Float32Array(65)], 32);
  });

  it("refuses to keep nothing, or more than there is", () => {
    const keys = { shape: [1, 8], dtype: "f32" as const };
    expect(() => rankTokensOp.outputs([keys], { keep: 0 })).toThrow("0 of 8 tokens cannot be kept");
    expect(() => rankTokensOp.outputs([keys], { keep: 9 })).toThrow("9 of 8 tokens cannot be kept");
  });
});

describe("motion of a patch", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8 },
      { batch: 2, rows: 1, columns: 7, patch: 8 },
      { batch: 3, rows: 5, columns: 3, patch: 16 },
      { batch: 1, rows: 13, columns: 6, patch: 4 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}`, async () => {
      const random = new Random(rows * columns);
      const images = Array.from({ length: batch }, () => {
        const image = randomImage(random, rows * patch, columns * patch, 3);
        // Dark but for some pixels, so that maxima differ from patch to patch.
        return { ...image, data: Array.from(image.data, (v) => (random.next() < 0.02 ? v : v >> 4)) };
      });
      const got = await evaluateOne(gpu(), (bench) => {
        const gradient = bench.input([batch, rows * patch, columns * patch], packImages(images));
        return bench.graph.apply(patchMotionOp, [gradient], { patch })[0];
      });
      expectClose(
        got,
        images.flatMap((image) => [...patchMaximum(image, patch)]),
        1e-6,
      );
    });
  }

  it("keeps the order of all 256 levels, and equal ones equal", async () => {
    const image = { height: 8, width: 8 * 512, channels: 3, data: new Uint8Array(3 * 64 * 512) };
    for (let i = 0; i < 512; i++) image.data[((i % 8) * 8 * 512 + i * 8) * 3 + (i % 3)] = i % 256;
    const got = await evaluateOne(gpu(), (bench) => {
      const gradient = bench.input([1, 8, 8 * 512], packImages([image]));
      return bench.graph.apply(patchMotionOp, [gradient], { patch: 8 })[0];
    });
    expect(got[0]).toBe(0);
    for (let level = 0; level < 256; level++) {
      expect(Math.abs(got[level] - level)).toBeLessThan(1e-4);
      expect(got[256 + level]).toBe(got[level]);
    }
  });

  it("refuses a size that the patch does not divide", () => {
    expect(() => patchMotionOp.outputs([{ shape: [1, 24, 32], dtype: "u32" }], { patch: 16 })).toThrow(
      "size 24x32 is no multiple of the patch, 16",
    );
  });
});

describe("noise", () => {
  async function noise(seed: number, frames: readonly number[], tokens: number): Promise<number[][]> {
    const got = await evaluateOne(gpu(), (bench) => {
      const samples = bench.input([frames.length, 8], packSamples(frames.map((frame) => ({ frame }))));
      const seeds = bench.input([1], Uint32Array.of(seed));
      return bench.graph.apply(noiseOp, [samples, seeds], { tokens })[0];
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
    // Five standard deviations of the estimates: σ = √(1/12n) for the mean, √(1/180n) for the variance.
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
    // Noise shifted by one token or one frame would repeat masks: look at shifted copies as well.
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
