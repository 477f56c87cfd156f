import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { packPatchWeight, patchEmbedOp } from "../../src/ops/patch_embed.js";
import { patchEmbedKey, patchEmbedVariants } from "../../src/ops/variants.js";
import { asGpu, casesFor, evaluate, useGpu } from "../support/gpu.js";
import { activationInput, roundedTo } from "../support/half.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { needsMatrixUnits } from "../support/matrix_units.js";
import { expectClose, Random } from "../support/numbers.js";
import { patchEmbed } from "../support/reference.js";
import { choosing } from "../support/variants.js";

/**
 * The kernels for matrix units, on the units of the tests' adapter. lavapipe of Mesa 26 or newer
 * has units of 8x8x8.
 */
const gpu = useGpu();

describe("patch embedding on matrix units", () => {
  // In float16 and in float32. Rows that do not fill a tile; patches of whole steps and of half
  // rows; several samples in a tile.
  for (const { batch, rows, columns, patch, keep, width, variant } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 4, keep: 1, width: 32, variant: "matrix 32x32 by 8" },
      { batch: 3, rows: 3, columns: 5, patch: 8, keep: 7, width: 64, variant: "matrix 64x64 by 16" },
      { batch: 2, rows: 7, columns: 5, patch: 12, keep: 33, width: 64, variant: "matrix 32x64 by 16" },
      { batch: 2, rows: 7, columns: 10, patch: 16, keep: 40, width: 128, variant: "matrix 64x128 by 32" },
      { batch: 1, rows: 1, columns: 2, patch: 4, keep: 2, width: 32, variant: "split 32x32 by 8" },
      { batch: 2, rows: 7, columns: 10, patch: 8, keep: 40, width: 256, variant: "split 64x128 by 32" },
      { batch: 1, rows: 4, columns: 10, patch: 16, keep: 33, width: 64, variant: "split 32x64 by 16" },
    ],
    7,
  )) {
    const name = `${variant}: batch ${batch}, ${keep} of ${rows}×${columns} patches of ${patch} into ${width}`;
    it(name, { timeout: 240_000 }, async (test) => {
      needsMatrixUnits(gpu(), test);
      const kind = variant.split(" ")[0];
      const dtype = kind === "matrix" ? "f16" : "f32";
      const shape = { dtype, batch, keep, patch, width } as const;
      expect([...patchEmbedVariants(asGpu(gpu()), shape).keys()]).toContain(variant);
      const random = new Random(keep + width);
      const [height, pixels] = [rows * patch, columns * patch];
      const images = Array.from({ length: batch + 3 }, () => randomImage(random, height, pixels, 3));
      const samples = Array.from({ length: batch }, (_, b) => ({ previous: b + 2, current: b, next: b + 1 }));
      const fanIn = 9 * patch * patch;
      const weight = roundedTo(dtype, random.floats(width * fanIn, -1 / Math.sqrt(fanIn), 1 / Math.sqrt(fanIn)));
      const bias = random.floats(width);
      const kept = samples.map(() => random.permutation(rows * columns).slice(0, keep));
      const target = choosing(asGpu(gpu()), patchEmbedKey(shape), variant);
      let y: Tensor | undefined;
      const got = await evaluate(gpu(), (bench) => {
        const packed = packPatchWeight(target, weight, width, patch) as Float32Array<ArrayBuffer>;
        const inputs = {
          frames: bench.input([images.length, height, pixels], packImages(images)),
          samples: bench.input([batch, 8], packSamples(samples)),
          idsKeep: bench.input([batch, keep], Uint32Array.from(kept.flat())),
          weight: activationInput(bench, dtype, [3, patch, patch, 3, width], packed),
          bias: bench.input([width], bias),
        };
        const op = {
          ...patchEmbedOp,
          kernels: (call: Parameters<typeof patchEmbedOp.kernels>[0]) => {
            const kernels = patchEmbedOp.kernels(call, target);
            expect(kernels.at(-1)?.label).toBe(`patch embed (${kind})`);
            return kernels;
          },
        };
        [y] = bench.graph.apply(op, inputs, { patch });
        return { y };
      });
      const want = samples.flatMap(({ previous, current, next }, b) => {
        const all = patchEmbed([images[previous], images[current], images[next]], weight, bias, patch);
        return kept[b].flatMap((token) => [...all.subarray(token * width, (token + 1) * width)]);
      });
      // In float16 only the rounding of y remains.
      expectClose(floatsOf(got.y, y as Tensor), want, dtype === "f16" ? 5e-4 : 3e-6);
    });
  }
});
