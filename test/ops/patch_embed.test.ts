import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { packPatchWeight, patchEmbedOp } from "../../src/ops/patch_embed.js";
import { asGpu, casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { patchEmbed } from "../support/reference.js";

describe.each([
  ["the adapter's kernels", (gpu: Gpu) => gpu],
  ["a GPU's kernels", asGpu],
] as const)("patch embedding, by %s", (_, taken) => {
  const gpu = useGpu();
  for (const { batch, rows, columns, patch, keep, width } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8, keep: 1, width: 16 },
      { batch: 2, rows: 1, columns: 13, patch: 8, keep: 6, width: 32 },
      { batch: 3, rows: 3, columns: 4, patch: 16, keep: 12, width: 16 },
      { batch: 1, rows: 5, columns: 5, patch: 8, keep: 25, width: 64 },
      { batch: 1, rows: 2, columns: 4, patch: 16, keep: 4, width: 256 },
      { batch: 2, rows: 7, columns: 10, patch: 4, keep: 68, width: 80 },
      { batch: 1, rows: 7, columns: 5, patch: 16, keep: 33, width: 32 },
      { batch: 2, rows: 4, columns: 4, patch: 8, keep: 8, width: 128 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${keep} of ${rows}×${columns} patches of ${patch} into ${width}`, async () => {
      const random = new Random(keep + width);
      const [height, pixels] = [rows * patch, columns * patch];
      const tokens = rows * columns;
      // Samples share frames, as neighbours in a video do, and slots are in no order.
      const images = Array.from({ length: batch + 3 }, () => randomImage(random, height, pixels, 3));
      const samples = Array.from({ length: batch }, (_, b) => ({ previous: b + 2, current: b, next: b + 1 }));
      const fanIn = 9 * patch * patch;
      const weight = random.floats(width * fanIn, -1 / Math.sqrt(fanIn), 1 / Math.sqrt(fanIn));
      const bias = random.floats(width);
      const kept = samples.map(() => random.permutation(tokens).slice(0, keep));
      const got = await evaluateOne(taken(gpu()), (bench) => {
        const packed = packPatchWeight(bench.graph.target, weight, width, patch);
        const inputs = {
          frames: bench.input([images.length, height, pixels], packImages(images)),
          samples: bench.input([batch, 8], packSamples(samples)),
          idsKeep: bench.input([batch, keep], Uint32Array.from(kept.flat())),
          weight: bench.graph.weight("weight", [3, patch, patch, 3, width], packed),
          bias: bench.graph.weight("bias", [width], bias),
        };
        return bench.graph.apply(patchEmbedOp, inputs, { patch })[0];
      });
      const want = samples.flatMap(({ previous, current, next }, b) => {
        const all = patchEmbed([images[previous], images[current], images[next]], weight, bias, patch);
        return kept[b].flatMap((token) => [...all.subarray(token * width, (token + 1) * width)]);
      });
      expectClose(got, want, 3e-6);
    });
  }

  it("refuses a size that the patch does not divide", () => {
    const spec = (dtype: "f32" | "u32", ...shape: number[]) => ({ shape, dtype });
    const data = { frames: spec("u32", 3, 24, 32), samples: spec("u32", 1, 8), idsKeep: spec("u32", 1, 2) };
    const inputs = { ...data, weight: spec("f32", 1), bias: spec("f32", 1) };
    expect(() => patchEmbedOp.outputs(inputs, { patch: 16 })).toThrow("size 24x32 is not a multiple of the patch, 16");
  });
});
