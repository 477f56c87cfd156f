import { describe, expect, it } from "vitest";
import { lossWeightsOp } from "../../src/ops/loss_weights.js";
import { patchMotionOp } from "../../src/ops/patch_motion.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { type Image, lossWeights } from "../support/reference.js";

const gpu = useGpu();

/** The weights that the GPU computes; sample b's target is in slot b + 1. */
async function weightsOnGpu(gradients: readonly Image[], targets: readonly Image[], patch: number, least = 0) {
  const { height, width } = gradients[0];
  const batch = gradients.length;
  return evaluateOne(gpu(), (bench) => {
    const gradient = bench.input([batch, height, width], packImages(gradients));
    const motion = bench.graph.apply(patchMotionOp, { gradient }, { patch })[0];
    const inputs = {
      gradient,
      motion,
      targets: bench.input([targets.length, height, width], packImages(targets)),
      samples: bench.input([batch, 8], packSamples(gradients.map((_, b) => ({ target: b + 1 })))),
    };
    return bench.graph.apply(lossWeightsOp, inputs, { patch, least })[0];
  });
}

describe("weights of the gradient-weighted loss", () => {
  for (const { batch, rows, columns, patch, strongest } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8, strongest: 255 },
      { batch: 3, rows: 1, columns: 5, patch: 16, strongest: 40 },
      { batch: 2, rows: 3, columns: 11, patch: 8, strongest: 200 },
      { batch: 1, rows: 5, columns: 20, patch: 4, strongest: 128 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}, motion up to ${strongest}`, async () => {
      const random = new Random(strongest);
      const [height, width] = [rows * patch, columns * patch];
      const gradients = Array.from({ length: batch }, () => ({
        ...randomImage(random, height, width, 3),
        data: random.bytes(height * width * 3, strongest),
      }));
      // Masks are 0, 1 (pasted, but normal) or 255, mostly empty; a resized one has others.
      const targets = Array.from({ length: batch + 1 }, () => {
        const image = randomImage(random, height, width, 4);
        const data = Array.from(image.data, (v, i) =>
          i % 4 === 3 ? (random.next() < 0.97 ? 0 : random.next() < 0.5 ? 1 : v | 192) : v,
        );
        return { ...image, data };
      });
      const want = gradients.flatMap((g, b) => [...lossWeights(g, targets[b + 1], patch)]);
      expectClose(await weightsOnGpu(gradients, targets, patch), want, 1e-6);
    });
  }

  it("are zero in a still picture, and 128 where it has an anomaly or a decoy", async () => {
    const still = { height: 16, width: 16, channels: 3, data: new Uint8Array(3 * 256) };
    const empty = { height: 16, width: 16, channels: 4, data: new Uint8Array(4 * 256) };
    const marked = { ...empty, data: new Uint8Array(4 * 256) };
    marked.data[4 * 0 + 3] = 255;
    marked.data[4 * 255 + 3] = 1;
    const got = await weightsOnGpu([still, still], [empty, empty, marked], 8);
    expect(Array.from(got)).toEqual([0, 0, 0, 0, 128, 0, 0, 128]);
  });

  it("are the least weight where nothing moves, if there is one", async () => {
    const gradient = { height: 8, width: 24, channels: 3, data: new Uint8Array(3 * 192) };
    gradient.data.set([9, 9, 9], 3 * 8);
    gradient.data.set([30, 33, 36], 3 * 16);
    const empty = { height: 8, width: 24, channels: 4, data: new Uint8Array(4 * 192) };
    expect(Array.from(await weightsOnGpu([gradient], [empty, empty], 8, 12.5))).toEqual([12.5, 12.5, 33]);
  });
});
