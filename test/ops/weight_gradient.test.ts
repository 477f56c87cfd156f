import { describe, it } from "vitest";
import { weightGradientOp } from "../../src/ops/weight_gradient.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { asOnGpu } from "../support/variants.js";

describe("gradient of a weight", () => {
  const gpu = useGpu();

  async function check(
    op: typeof weightGradientOp,
    { batch, m, n, k }: { batch: number; m: number; n: number; k: number },
  ): Promise<void> {
    const random = new Random(m + n);
    const x = random.floats(batch * m * k);
    const dy = random.floats(batch * m * n);
    const scales = Array.from({ length: batch }, (_, b) => 1 / (b + 2));
    const got = await evaluate(gpu(), (bench) => {
      const inputs = { x: bench.input([batch, m, k], x), dy: bench.input([batch, m, n], dy) };
      return { dw: bench.graph.apply(op, inputs, { scales })[0] };
    });
    const want = new Float64Array(batch * n * k);
    for (let row = 0; row < batch * m; row++) {
      const b = Math.floor(row / m);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < k; j++) want[(b * n + i) * k + j] += scales[b] * dy[row * n + i] * x[row * k + j];
      }
    }
    expectClose(got.dw, want, 2e-6);
  }

  for (const sizes of casesFor([
    { batch: 1, m: 1, n: 4, k: 4 },
    { batch: 2, m: 300, n: 20, k: 16 },
    { batch: 1, m: 130, n: 72, k: 96 },
    { batch: 1, m: 77, n: 132, k: 68 },
    { batch: 3, m: 1003, n: 32, k: 32 },
  ])) {
    it(`of ${sizes.n}×${sizes.k} over ${sizes.batch}×${sizes.m} rows`, () => check(weightGradientOp, sizes));
  }

  for (const sizes of casesFor(
    [
      { batch: 2, m: 300, n: 20, k: 12 },
      { batch: 1, m: 77, n: 132, k: 68 },
    ],
    1,
  )) {
    it(`of ${sizes.n}×${sizes.k} over ${sizes.batch}×${sizes.m} rows, as on a GPU`, () =>
      check(asOnGpu(weightGradientOp), sizes));
  }
});
