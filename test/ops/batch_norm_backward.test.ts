import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { batchNormOp } from "../../src/ops/batch_norm.js";
import { batchNormBackwardOp } from "../../src/ops/batch_norm_backward.js";
import {
  type BatchNormSizes,
  batchNorm,
  batchNormAttrs,
  batchNormCases,
  batchNormInputs,
  manyTokens,
  randomBatchNorm,
} from "../support/batch_norm.js";
import { finiteDifferences, neverAdded } from "../support/finite_differences.js";
import { casesFor, evaluate, f32, useGpu } from "../support/gpu.js";
import { expectClose, relativeError } from "../support/numbers.js";

describe("gradient of batch norm", () => {
  const gpu = useGpu();

  /** The gradients of x, gamma and beta. */
  function run(sizes: BatchNormSizes, values: ReturnType<typeof randomBatchNorm>) {
    return evaluate(gpu(), (bench) => {
      const inputs = batchNormInputs(bench, sizes, values);
      const { x, gamma, beta } = inputs;
      const y = bench.graph.apply(batchNormOp, inputs, batchNormAttrs)[0];
      const seed = bench.input(x.shape, values.dy);
      const [dx, dgamma, dbeta] = differentiate(bench.graph, y, seed, [x, gamma, beta], neverAdded) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      return { dx, dgamma, dbeta };
    });
  }

  for (const sizes of casesFor(batchNormCases)) {
    it(`batch ${sizes.batch}, ${sizes.tokens} tokens of ${sizes.width}, against finite differences`, async () => {
      const values = randomBatchNorm(sizes);
      const got = await run(sizes, values);
      const { x, gamma, beta, dy } = values;
      const reference = (...[x, gamma, beta]: Float64Array[]) => batchNorm(x, gamma, beta, sizes).y;
      for (const [i, name] of ["dx", "dgamma", "dbeta"].entries()) {
        expectClose(got[name], finiteDifferences(reference, [x, gamma, beta], i, dy), 2e-5);
      }
    });
  }

  it("many tokens: several chunks of uneven size, the mean far from zero", async () => {
    const values = randomBatchNorm(manyTokens, 99, 101);
    const got = await run(manyTokens, values);
    const { x, gamma, beta, dy } = values;
    const weights = (...[gamma, beta]: Float64Array[]) => batchNorm(x, gamma, beta, manyTokens).y;
    expectClose(got.dgamma, finiteDifferences(weights, [gamma, beta], 0, dy), 1e-5);
    expectClose(got.dbeta, finiteDifferences(weights, [gamma, beta], 1, dy), 1e-5);
    // dx by its slope along one direction, which is not orthogonal to it.
    const direction = dy.map((v, i) => v * (1 + x[i] - 100));
    const along = (s: Float64Array) => {
      const shifted = Float64Array.from(x, (v, i) => v + s[0] * direction[i]);
      return batchNorm(shifted, gamma, beta, manyTokens).y;
    };
    const dx = got.dx as Float32Array;
    const slope = dx.reduce((sum, v, i) => sum + v * direction[i], 0);
    expect(relativeError([slope], finiteDifferences(along, [[0]], 0, dy))).toBeLessThan(1e-5);
  });

  it("refuses statistics of another shape", () => {
    const inputs = { x: f32(3, 1, 5, 4), stats: f32(3, 4), gamma: f32(3, 4), dy: f32(3, 1, 5, 4) };
    expect(() => batchNormBackwardOp.outputs(inputs, {})).toThrow("statistics has the shape [3,4], not [3,4,2]");
  });
});
