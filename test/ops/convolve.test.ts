import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { convolveOp } from "../../src/ops/convolve.js";
import { convolveBackwardOp } from "../../src/ops/convolve_backward.js";
import { convolveWeightGradientOp } from "../../src/ops/convolve_weight_gradient.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { convProjection } from "../support/reference.js";

interface Sizes {
  batch: number;
  rows: number;
  columns: number;
  width: number;
}

/** The three convolutions: BatchNorm of the reference made to do nothing. */
function convolve(x: ArrayLike<number>, weight: Float32Array | Float64Array, sizes: Sizes): number[] {
  const one = new Float64Array(sizes.width).fill(1);
  const zero = new Float64Array(sizes.width);
  return [0, 1, 2].flatMap((p) => {
    const own = weight.subarray(p * sizes.width * 9, (p + 1) * sizes.width * 9);
    const plain = { weight: own, gamma: one, beta: zero, mean: zero, variance: one };
    return [...convProjection(x, sizes, plain, 0)];
  });
}

describe("convolutions of the projections in training", () => {
  const gpu = useGpu();

  function run({ batch, rows, columns, width }: Sizes, [x, weight, dy]: Float32Array<ArrayBuffer>[]) {
    const tokens = 1 + rows * columns;
    return evaluate(gpu(), (bench) => {
      const inputs = { x: bench.input([batch, tokens, width], x), weight: bench.input([3, width, 9], weight) };
      const y = bench.graph.apply(convolveOp, inputs, { rows, columns })[0];
      const seed = bench.input([3, batch, tokens, width], dy);
      const [dx, dweight] = differentiate(bench.graph, y, seed, Object.values(inputs), () => {
        throw new Error("nothing to add");
      }) as [Tensor, Tensor];
      return { y, dx, dweight };
    });
  }

  function randomValues({ batch, rows, columns, width }: Sizes) {
    const random = new Random(rows * 100 + columns);
    const count = batch * (1 + rows * columns) * width;
    return [random.floats(count), random.floats(27 * width), random.floats(3 * count)] as const;
  }

  const cases = [
    { batch: 1, rows: 1, columns: 1, width: 4 },
    { batch: 2, rows: 1, columns: 5, width: 4 },
    { batch: 2, rows: 7, columns: 1, width: 4 },
    { batch: 2, rows: 3, columns: 4, width: 12 },
  ];
  for (const sizes of casesFor(cases)) {
    it(`batch ${sizes.batch}, ${sizes.rows}×${sizes.columns} tokens of ${sizes.width}, and its gradients`, async () => {
      const [x, weight, dy] = randomValues(sizes);
      const got = await run(sizes, [x, weight, dy]);
      expectClose(got.y, convolve(x, weight, sizes), 1e-6);
      const reference = (...[x, weight]: Float64Array[]) => convolve(x, weight, sizes);
      expectClose(got.dx, finiteDifferences(reference, [x, weight], 0, dy), 1e-6);
      expectClose(got.dweight, finiteDifferences(reference, [x, weight], 1, dy), 1e-6);
    });
  }

  it("many rows: chunks of several, of uneven size", async () => {
    const sizes = { batch: 79, rows: 13, columns: 2, width: 4 };
    const [x, weight, dy] = randomValues(sizes);
    const got = await run(sizes, [x, weight, dy]);
    // A convolution is linear in either argument: the slope along one is the value with it alone.
    const y = convolve(x, weight, sizes);
    const value = y.reduce((sum, v, i) => sum + v * dy[i], 0);
    const cls = (i: number) => Math.floor(i / sizes.width) % (1 + sizes.rows * sizes.columns) === 0;
    const copied = y.reduce((sum, v, i) => sum + (cls(i) ? v * dy[i] : 0), 0);
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0);
    const scale = Math.sqrt(dot(y, y));
    expect(Math.abs(dot(got.dx as Float32Array, x) - value) / scale).toBeLessThan(1e-5);
    expect(Math.abs(dot(got.dweight as Float32Array, weight) - (value - copied)) / scale).toBeLessThan(1e-5);
    const reference = (...[weight]: Float64Array[]) => convolve(x, weight, sizes);
    expectClose(got.dweight, finiteDifferences(reference, [weight], 0, dy), 2e-6);
  });

  it("refuses a grid that does not fit the tokens", () => {
    const spec = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const grid = { rows: 3, columns: 4 };
    expect(() => convolveOp.outputs({ x: spec(1, 13, 16), weight: spec(9, 3, 16) }, grid)).toThrow(
      "weight has the shape [9,3,16], not [3,16,9]",
    );
    expect(() => convolveBackwardOp.outputs({ dy: spec(3, 1, 12, 16), taps: spec(9, 3, 16) }, grid)).toThrow(
      "dy has the shape [3,1,12,16], not [3,any,13,any]",
    );
    expect(() => convolveWeightGradientOp.outputs({ x: spec(1, 13, 16), dy: spec(3, 2, 13, 16) }, grid)).toThrow(
      "dy has the shape [3,2,13,16], not [3,1,13,16]",
    );
  });
});
