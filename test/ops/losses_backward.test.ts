import { describe, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { maskedLossOp, weightedLossOp } from "../../src/ops/losses.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { errorsBySample, maskedLoss, weightedLoss } from "../support/reference.js";

const gpu = useGpu();
const shapes = casesFor(
  [
    { batch: 1, tokens: 1, keep: 0 },
    { batch: 2, tokens: 13, keep: 6 },
    { batch: 3, tokens: 101, keep: 25 },
  ],
  1,
);
const kinds = ["student", "target"] as const;

describe("gradients of the losses with respect to errors, against finite differences", () => {
  for (const { batch, tokens, keep } of shapes) {
    for (const [which, error] of kinds.entries()) {
      it(`weighted, batch ${batch}, ${tokens} tokens, the ${error} error`, async () => {
        const random = new Random(tokens);
        const errors = random.floats(batch * tokens * 2, 0, 2);
        const weights = random.floats(batch * tokens, 0, 255);
        // The last sample has no motion at all.
        weights.fill(0, (batch - 1) * tokens);
        const got = await evaluateOne(gpu(), (bench) => {
          const tensor = bench.input([batch, tokens, 2], errors);
          const inputs = { errors: tensor, weights: bench.input([batch, tokens], weights) };
          const loss = bench.graph.apply(weightedLossOp, inputs, { error, keep })[0];
          const seed = bench.input([1], Float32Array.of(0.75));
          return differentiate(bench.graph, loss, seed, [tensor], addTo)[0] as Tensor;
        });
        const split = Array.from({ length: batch }, (_, b) => weights.subarray(b * tokens, (b + 1) * tokens));
        const reference = (values: Float64Array) => [weightedLoss(errorsBySample(values, batch, which), split)];
        expectClose(got, finiteDifferences(reference, [errors], 0, [0.75]), 1e-6);
      });

      it(`masked, batch ${batch}, ${keep} of ${tokens} tokens kept, the ${error} error`, async () => {
        const random = new Random(tokens);
        const errors = random.floats(batch * tokens * 2, 0, 2);
        const ids = Array.from({ length: batch }, () => random.permutation(tokens));
        const got = await evaluateOne(gpu(), (bench) => {
          const tensor = bench.input([batch, tokens, 2], errors);
          const inputs = { errors: tensor, idsRestore: bench.input([batch, tokens], Uint32Array.from(ids.flat())) };
          const loss = bench.graph.apply(maskedLossOp, inputs, { error, keep })[0];
          const seed = bench.input([1], Float32Array.of(-1.5));
          return differentiate(bench.graph, loss, seed, [tensor], addTo)[0] as Tensor;
        });
        const reference = (values: Float64Array) => [maskedLoss(errorsBySample(values, batch, which), ids, keep)];
        expectClose(got, finiteDifferences(reference, [errors], 0, [-1.5]), 1e-6);
      });
    }
  }
});
