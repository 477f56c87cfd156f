import { describe, expect, it } from "vitest";
import { mlpResidualOp } from "../../src/ops/mlp_residual.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { mlpResidual } from "../support/reference.js";

describe("residual of the MLP", () => {
  const gpu = useGpu();
  for (const { batch, tokens, width } of casesFor(
    [
      { batch: 2, tokens: 1, width: 8 },
      { batch: 1, tokens: 25, width: 4 },
      { batch: 3, tokens: 13, width: 20 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${tokens} tokens of ${width}`, async () => {
      const count = batch * tokens * width;
      const random = new Random(count);
      const values = [random.floats(count), random.floats(count), random.floats(count)] as const;
      const got = await evaluateOne(gpu(), (bench) => {
        const [x1, norm2, mlp] = values.map((v) => bench.input([batch, tokens, width], v));
        return bench.graph.apply(mlpResidualOp, { x1, norm2, mlp }, {})[0];
      });
      expectClose(got, mlpResidual(...values, { tokens, width }), 1e-7);
    });
  }

  it("refuses another shape of the MLP's output", () => {
    const inputs = { x1: f32(1, 5, 8), norm2: f32(1, 5, 8), mlp: f32(5, 8) };
    expect(() => mlpResidualOp.outputs(inputs, {})).toThrow("mlp has the shape [5,8]");
  });
});
