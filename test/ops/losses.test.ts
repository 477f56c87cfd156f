import { describe, expect, it } from "vitest";
import { lossWeightsOp, maskedLossOp, weightedLossOp } from "../../src/ops/losses.js";
import { patchMotionOp } from "../../src/ops/masking.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { type Image, lossWeights, maskedLoss, weightedLoss } from "../support/reference.js";

const gpu = useGpu();

/** The weights that the GPU computes; sample b's target is in slot b + 1. */
async function weightsOnGpu(gradients: readonly Image[], targets: readonly Image[], patch: number) {
  const { height, width } = gradients[0];
  const batch = gradients.length;
  return evaluateOne(gpu(), (bench) => {
    const gradient = bench.input([batch, height, width], packImages(gradients));
    const motion = bench.graph.apply(patchMotionOp, [gradient], { patch })[0];
    const inputs = [
      gradient,
      motion,
      bench.input([targets.length, height, width], packImages(targets)),
      bench.input([batch, 8], packSamples(gradients.map((_, b) => ({ target: b + 1 })))),
    ];
    return bench.graph.apply(lossWeightsOp, inputs, { patch })[0];
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
      // Masks are 0 or 255 and mostly empty; a resized one has values between.
      const targets = Array.from({ length: batch + 1 }, () => {
        const image = randomImage(random, height, width, 4);
        const data = Array.from(image.data, (v, i) => (i % 4 === 3 ? (random.next() < 0.97 ? 0 : v | 192) : v));
        return { ...image, data };
      });
      const want = gradients.flatMap((g, b) => [...lossWeights(g, targets[b + 1], patch)]);
      expectClose(await weightsOnGpu(gradients, targets, patch), want, 1e-6);
    });
  }

  it("are zero without motion and anomaly, and from 128 where a still picture has an anomaly", async () => {
    const still = { height: 16, width: 16, channels: 3, data: new Uint8Array(3 * 256) };
    const empty = { height: 16, width: 16, channels: 4, data: new Uint8Array(4 * 256) };
    const marked = { ...empty, data: new Uint8Array(4 * 256) };
    marked.data[4 * 0 + 3] = 255;
    const got = await weightsOnGpu([still, still], [empty, empty, marked], 8);
    expect(Array.from(got)).toEqual([0, 0, 0, 0, 128, 0, 0, 0]);
  });
});

/** The errors of one kind, a list a sample. */
function column(errors: Float32Array, batch: number, which: number): number[][] {
  const tokens = errors.length / 2 / batch;
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length: tokens }, (_, t) => errors[(b * tokens + t) * 2 + which]),
  );
}

const shapes = [
  { batch: 1, tokens: 1, keep: 0 },
  { batch: 3, tokens: 13, keep: 6 },
  { batch: 2, tokens: 101, keep: 25 },
  { batch: 2, tokens: 800, keep: 400 },
];
const kinds = ["student", "target"] as const;

describe("weighted loss", () => {
  async function onGpu(
    errors: Float32Array<ArrayBuffer>,
    weights: Float32Array<ArrayBuffer>,
    batch: number,
    which: 0 | 1,
  ) {
    const tokens = weights.length / batch;
    const [loss] = await evaluateOne(gpu(), (bench) => {
      const inputs = [bench.input([batch, tokens, 2], errors), bench.input([batch, tokens], weights)];
      return bench.graph.apply(weightedLossOp, inputs, { error: kinds[which], keep: 1 })[0];
    });
    return loss;
  }

  for (const { batch, tokens } of casesFor(shapes)) {
    for (const which of [0, 1] as const) {
      it(`batch ${batch}, ${tokens} tokens, the ${kinds[which]} error`, async () => {
        const random = new Random(tokens);
        const errors = random.floats(batch * tokens * 2, 0, 2);
        const weights = random.floats(batch * tokens, 0, 255);
        const split = Array.from({ length: batch }, (_, b) => weights.subarray(b * tokens, (b + 1) * tokens));
        const want = weightedLoss(column(errors, batch, which), split);
        expectClose([await onGpu(errors, weights, batch, which)], [want], 1e-6);
      });
    }
  }

  it("weighs tokens alike in a sample without any motion, and in no other", async () => {
    const random = new Random(2);
    const errors = random.floats(3 * 20 * 2, 0, 2);
    const weights = random.floats(3 * 20, 0, 255);
    weights.fill(0, 20, 40);
    const split = [0, 1, 2].map((b) => weights.subarray(b * 20, (b + 1) * 20));
    expectClose([await onGpu(errors, weights, 3, 1)], [weightedLoss(column(errors, 3, 1), split)], 1e-6);
    const mean = column(errors, 3, 1)[1].reduce((a, v) => a + v / 20, 0);
    const still = errors.slice(40, 80);
    expectClose([await onGpu(still, new Float32Array(20), 1, 1)], [mean], 1e-6);
  });
});

describe("masked loss", () => {
  for (const { batch, tokens, keep } of casesFor(shapes)) {
    for (const which of [0, 1] as const) {
      it(`batch ${batch}, ${keep} of ${tokens} tokens kept, the ${kinds[which]} error`, async () => {
        const random = new Random(tokens);
        const errors = random.floats(batch * tokens * 2, 0, 2);
        const ids = Array.from({ length: batch }, () => random.permutation(tokens));
        const got = await evaluateOne(gpu(), (bench) => {
          const idsRestore = bench.input([batch, tokens], Uint32Array.from(ids.flat()));
          const inputs = [bench.input([batch, tokens, 2], errors), idsRestore];
          return bench.graph.apply(maskedLossOp, inputs, { error: kinds[which], keep })[0];
        });
        expectClose(got, [maskedLoss(column(errors, batch, which), ids, keep)], 1e-6);
      });
    }
  }
});
