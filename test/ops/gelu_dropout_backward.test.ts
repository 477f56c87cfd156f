import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { geluDropoutOp } from "../../src/ops/gelu_dropout.js";
import { geluDropoutBackwardOp } from "../../src/ops/gelu_dropout_backward.js";
import { dropoutCases, dropoutMask } from "../support/dropout.js";
import { finiteDifferences, neverAdded } from "../support/finite_differences.js";
import { casesFor, evaluate, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { gelu } from "../support/reference.js";

const gpu = useGpu();

describe("gradient of GELU and dropout", () => {
  for (const { shape, rate, key } of casesFor(dropoutCases, 2)) {
    it(`[${shape}] at a rate of ${rate}, against finite differences`, async () => {
      const count = shape.reduce((n, size) => n * size, 1);
      const random = new Random(count);
      const x = random.floats(count, -5, 5);
      x.set([0, -9, 9]);
      const dy = random.floats(count);
      const got = await evaluateOne(gpu(), (bench) => {
        const { graph } = bench;
        const input = bench.input(shape, x);
        const seed = bench.input([2], Uint32Array.of(key.seed, key.step));
        const y = graph.apply(geluDropoutOp, { x: input, seed }, { rate, layer: key.layer })[0];
        return differentiate(graph, y, bench.input(shape, dy), [input], neverAdded)[0] as Tensor;
      });
      const factors = dropoutMask(count, rate, key);
      const reference = (values: Float64Array) => values.map((v, i) => gelu(v) * factors[i]);
      expectClose(got, finiteDifferences(reference, [x], 0, dy), 1e-6);
    });
  }

  it("lets gradients through where values went through", async () => {
    const count = 4096;
    const attrs = { rate: 0.3, layer: 4 };
    const { y, dx } = await evaluate(gpu(), (bench) => {
      const x = bench.input([count], new Float32Array(count).fill(8));
      const seed = bench.input([2], Uint32Array.of(3, 17));
      const dy = bench.input([count], new Float32Array(count).fill(8));
      return {
        y: bench.graph.apply(geluDropoutOp, { x, seed }, attrs)[0],
        dx: bench.graph.apply(geluDropoutBackwardOp, { x, seed, dy }, attrs)[0],
      };
    });
    expectClose(dx, y, 1e-6);
    expect(Array.from(y).filter((v) => v === 0).length).toBeGreaterThan(0.25 * count);
    expect(Array.from(dx, (v) => v === 0)).toEqual(Array.from(y, (v) => v === 0));
  });

  it("refuses a gradient of another shape", () => {
    const seed = { shape: [2], dtype: "u32" as const };
    const attrs = { rate: 0, layer: 0 };
    expect(() => geluDropoutBackwardOp.outputs({ x: f32(2, 4), seed, dy: f32(8) }, attrs)).toThrow(
      "dy has the shape [8], not [2,4]",
    );
  });
});
