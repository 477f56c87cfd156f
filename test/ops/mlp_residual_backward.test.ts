import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { mlpResidualOp } from "../../src/ops/mlp_residual.js";
import { mlpResidualBackwardOp } from "../../src/ops/mlp_residual_backward.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { mlpResidual } from "../support/reference.js";

describe("gradient of the MLP's residual", () => {
  const gpu = useGpu();
  for (const { batch, tokens, width } of casesFor(
    [
      { batch: 2, tokens: 1, width: 8 },
      { batch: 1, tokens: 25, width: 4 },
      { batch: 3, tokens: 13, width: 20 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${tokens} tokens of ${width}, against finite differences`, async () => {
      const shape = [batch, tokens, width];
      const count = batch * tokens * width;
      const random = new Random(count);
      const values = [random.floats(count), random.floats(count), random.floats(count)] as const;
      const dy = random.floats(count);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = values.map((v) => bench.input(shape, v));
        const [x1, norm2, mlp] = inputs;
        const y = bench.graph.apply(mlpResidualOp, { x1, norm2, mlp }, {})[0];
        const gradients = differentiate(bench.graph, y, bench.input(shape, dy), inputs, addTo);
        return Object.fromEntries(gradients.map((gradient, i) => [i, gradient as Tensor]));
      });
      const reference = (...[x1, norm2, mlp]: Float64Array[]) => mlpResidual(x1, norm2, mlp, { tokens, width });
      for (const which of [0, 1, 2]) {
        expectClose(got[which], finiteDifferences(reference, values, which, dy), 1e-7);
      }
    });
  }

  it("refuses a gradient without samples, and a width that is not a multiple of 4", () => {
    expect(() => mlpResidualBackwardOp.outputs({ dy: f32(5, 8) }, {})).toThrow("dy has the shape [5,8]");
    expect(() => mlpResidualBackwardOp.outputs({ dy: f32(1, 5, 6) }, {})).toThrow("width 6 is not a multiple of 4");
  });
});
