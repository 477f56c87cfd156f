import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { mlpResidualOp } from "../../src/ops/mlp_residual.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";

type Triple = [Tensor, Tensor, Tensor];

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
    it(`batch ${batch}, ${tokens} tokens of ${width}: values, and gradients against finite differences`, async () => {
      const shape = [batch, tokens, width];
      const count = batch * tokens * width;
      const random = new Random(count);
      const values = [random.floats(count), random.floats(count), random.floats(count)] as const;
      const dy = random.floats(count);
      const got = await evaluate(gpu(), (bench) => {
        const [x1, norm2, mlp] = values.map((v) => bench.input(shape, v));
        const y = bench.graph.apply(mlpResidualOp, { x1, norm2, mlp }, {})[0];
        const seed = bench.input(shape, dy);
        const [d0, d1, d2] = differentiate(bench.graph, y, seed, [x1, norm2, mlp], addTo) as Triple;
        return { y, d0, d1, d2 };
      });
      const reference = (...[x1, norm2, mlp]: ArrayLike<number>[]) =>
        Float64Array.from({ length: count }, (_, i) => {
          const first = Math.floor(i / width) % tokens === 0;
          return x1[i] + (first ? norm2[i] : mlp[i]);
        });
      expectClose(got.y, reference(...values), 1e-7);
      for (const which of [0, 1, 2]) {
        expectClose(got[`d${which}`], finiteDifferences(reference, values, which, dy), 1e-7);
      }
    });
  }

  it("refuses another shape of the MLP's output", () => {
    const f = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const inputs = { x1: f(1, 5, 8), norm2: f(1, 5, 8), mlp: f(5, 8) };
    expect(() => mlpResidualOp.outputs(inputs, {})).toThrow("mlp has the shape [5,8]");
  });
});
