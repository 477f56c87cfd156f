import { describe, it } from "vitest";
import { maskedLossOp, weightedLossOp } from "../../src/ops/losses.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { errorsBySample, maskedLoss, weightedLoss } from "../support/reference.js";

const gpu = useGpu();

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
      const inputs = {
        errors: bench.input([batch, tokens, 2], errors),
        weights: bench.input([batch, tokens], weights),
      };
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
        const want = weightedLoss(errorsBySample(errors, batch, which), split);
        expectClose([await onGpu(errors, weights, batch, which)], [want], 1e-6);
      });
    }
  }

  it("weighs tokens equally only in a sample without any motion", async () => {
    const random = new Random(2);
    const errors = random.floats(3 * 20 * 2, 0, 2);
    const weights = random.floats(3 * 20, 0, 255);
    weights.fill(0, 20, 40);
    const split = [0, 1, 2].map((b) => weights.subarray(b * 20, (b + 1) * 20));
    expectClose([await onGpu(errors, weights, 3, 1)], [weightedLoss(errorsBySample(errors, 3, 1), split)], 1e-6);
    const mean = errorsBySample(errors, 3, 1)[1].reduce((a, v) => a + v / 20, 0);
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
          const inputs = { errors: bench.input([batch, tokens, 2], errors), idsRestore };
          return bench.graph.apply(maskedLossOp, inputs, { error: kinds[which], keep })[0];
        });
        expectClose(got, [maskedLoss(errorsBySample(errors, batch, which), ids, keep)], 1e-6);
      });
    }
  }
});
