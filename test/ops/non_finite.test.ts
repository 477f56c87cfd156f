import { expect, it } from "vitest";
import { nonFiniteOp } from "../../src/ops/non_finite.js";
import { evaluate, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu();

it("finds a gradient that is not finite, wherever it is", async () => {
  for (const [n, at, value] of [
    [1, 0, Number.NaN],
    [70_000, 69_999, Number.POSITIVE_INFINITY],
    [70_000, 12_345, Number.NEGATIVE_INFINITY],
    [70_000, 0, 3.4e38],
  ] as const) {
    const gradients = new Random(n).floats(n, -1e30, 1e30);
    gradients[at] = value;
    const { found } = await evaluate(gpu(), (bench) => ({
      found: bench.graph.apply(nonFiniteOp, { gradients: bench.input([n], gradients) }, {})[0],
    }));
    expect([...found].reduce((sum, one) => sum + one, 0)).toBe(Number.isFinite(value) ? 0 : 1);
  }
});
