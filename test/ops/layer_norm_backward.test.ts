import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { layerNormOp } from "../../src/ops/layer_norm.js";
import { layerNormBackwardOp } from "../../src/ops/layer_norm_backward.js";
import { layerNormWeightGradientOp } from "../../src/ops/layer_norm_weight_gradient.js";
import { finiteDifferences, neverAdded } from "../support/finite_differences.js";
import { casesFor, evaluate, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { layerNorm } from "../support/reference.js";

const epsilon = 1e-6;

describe("gradient of layer norm", () => {
  const gpu = useGpu();
  const cases = [
    { batch: 1, rows: 1, width: 16, withToken: false },
    { batch: 3, rows: 13, width: 4, withToken: true },
    { batch: 2, rows: 17, width: 36, withToken: false },
    { batch: 3, rows: 1, width: 260, withToken: true },
    { batch: 5, rows: 7, width: 20, withToken: true },
  ];
  for (const { batch, rows, width, withToken } of casesFor(cases)) {
    it(`${batch}×${rows} rows of ${width}${withToken ? ", a token in front" : ""}`, async () => {
      const random = new Random(width + rows);
      const x = random.floats(batch * rows * width, -3, 5);
      const gamma = random.floats(width, 0.5, 2);
      const beta = random.floats(width);
      const token = random.floats(width);
      const shape = [batch, rows + (withToken ? 1 : 0), width];
      const dy = random.floats(batch * shape[1] * width);
      const values = [x, gamma, beta, ...(withToken ? [token] : [])];
      const got = await evaluate(gpu(), (bench) => {
        const shapes = [[batch, rows, width], [width], [width], [width]];
        const inputs = values.map((data, i) => bench.input(shapes[i], data));
        const [x, gamma, beta] = inputs;
        const y = bench.graph.apply(layerNormOp, { x, gamma, beta, token: inputs.at(3) }, { epsilon })[0];
        const gradients = differentiate(bench.graph, y, bench.input(shape, dy), inputs, neverAdded);
        return Object.fromEntries(gradients.map((gradient, i) => [i, gradient as Tensor]));
      });
      const reference = (...[x, gamma, beta, token]: Float64Array[]) => {
        const y = layerNorm(x, width, gamma, beta, epsilon);
        if (!token) return y;
        const sample = (b: number) => [...token, ...y.subarray(b * rows * width, (b + 1) * rows * width)];
        return Array.from({ length: batch }, (_, b) => sample(b)).flat();
      };
      values.forEach((_, i) => {
        expectClose(got[i], finiteDifferences(reference, values, i, dy), 2e-6);
      });
    });
  }

  it("adds nodes only for what is needed", async () => {
    const names = (wanted: (inputs: Tensor[]) => Tensor[]) => {
      const ops: string[] = [];
      return evaluate(gpu(), (bench) => {
        const data = new Float32Array(16).fill(1);
        const inputs = [[1, 2, 8], [8], [8]].map((shape) => bench.input(shape, data.subarray(0, shape.at(-1))));
        const [x, gamma, beta] = inputs;
        const y = bench.graph.apply(layerNormOp, { x, gamma, beta }, { epsilon })[0];
        differentiate(bench.graph, y, y, wanted(inputs), neverAdded);
        ops.push(...bench.graph.nodes.map((node) => node.op.name));
        return { y };
      }).then(() => ops);
    };
    expect(await names(([x]) => [x])).toEqual(["layerNorm", "layerNormBackward"]);
    expect(await names(([, gamma, beta]) => [gamma, beta])).toEqual(["layerNorm", "layerNormWeightGradient"]);
  });

  it("refuses gradients that do not fit", () => {
    expect(() =>
      layerNormBackwardOp.outputs({ x: f32(2, 3, 8), gamma: f32(8), dy: f32(2, 5, 8) }, { epsilon }),
    ).toThrow("dy has the shape [2,5,8], not [2,3,8]");
    expect(() => layerNormWeightGradientOp.outputs({ x: f32(2, 3, 6), dy: f32(2, 3, 6) }, { epsilon })).toThrow(
      "width 6 is not a multiple of 4",
    );
  });
});
