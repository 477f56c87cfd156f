import { describe, expect, it } from "vitest";
import type { TensorSpec } from "../../src/graph/graph.js";
import { layerNormOp } from "../../src/ops/layer_norm.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { layerNorm } from "../support/reference.js";

describe("layer norm", () => {
  const gpu = useGpu();
  const cases = [
    { batch: 1, rows: 1, width: 16 },
    { batch: 3, rows: 13, width: 32 },
    { batch: 2, rows: 33, width: 64 },
    { batch: 1, rows: 101, width: 128 },
    { batch: 1, rows: 401, width: 256 },
    { batch: 2, rows: 7, width: 20 },
  ];
  for (const { batch, rows, width } of casesFor(cases)) {
    for (const withToken of [false, true]) {
      it(`${batch}×${rows} rows of ${width}${withToken ? ", a token in front" : ""}`, async () => {
        const random = new Random(width + rows);
        const x = random.floats(batch * rows * width, -3, 5);
        const gamma = random.floats(width, 0.5, 2);
        const beta = random.floats(width);
        const token = random.floats(width);
        const got = await evaluateOne(gpu(), (bench) => {
          const inputs = {
            x: bench.input([batch, rows, width], x),
            gamma: bench.input([width], gamma),
            beta: bench.input([width], beta),
            token: withToken ? bench.input([width], token) : undefined,
          };
          return bench.graph.apply(layerNormOp, inputs, { epsilon: 1e-6 })[0];
        });
        const want: number[] = [];
        for (let b = 0; b < batch; b++) {
          if (withToken) want.push(...token);
          want.push(...layerNorm(x.subarray(b * rows * width, (b + 1) * rows * width), width, gamma, beta, 1e-6));
        }
        expectClose(got, want, 2e-6);
      });
    }
  }

  it("is accurate if the mean is large and the spread small, and finite without any spread", async () => {
    const width = 64;
    const random = new Random(3);
    const x = new Float32Array(2 * width).fill(100);
    x.set(random.floats(width, 100, 100.5));
    const one = new Float32Array(width).fill(1);
    const zero = new Float32Array(width);
    const got = await evaluateOne(gpu(), (bench) => {
      const [gamma, beta] = [bench.input([width], one), bench.input([width], zero)];
      const inputs = { x: bench.input([1, 2, width], x), gamma, beta };
      return bench.graph.apply(layerNormOp, inputs, { epsilon: 1e-6 })[0];
    });
    expectClose(got, layerNorm(x, width, one, zero, 1e-6), 1e-4);
    expect(got.subarray(width).every((v) => v === 0)).toBe(true);
  });

  it("refuses shapes that do not fit", () => {
    const outputs = (x: TensorSpec, gamma: TensorSpec, beta: TensorSpec) =>
      layerNormOp.outputs({ x, gamma, beta }, { epsilon: 1e-6 });
    expect(() => outputs(f32(1, 2, 18), f32(18), f32(18))).toThrow("width 18 is not a multiple of 4");
    expect(() => outputs(f32(1, 2, 16), f32(16), f32(8))).toThrow("beta has the shape [8], not [16]");
  });
});
