import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor, TensorSpec } from "../../src/graph/graph.js";
import { denseOp } from "../../src/ops/dense.js";
import { finiteDifferences, neverAdded } from "../support/finite_differences.js";
import { type Bench, casesFor, evaluate, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { linear } from "../support/reference.js";

interface Case {
  m: number;
  k: number;
  n: number;
  batch?: number;
  transposed?: boolean;
  bias?: boolean;
  residual?: boolean;
  scales?: readonly number[];
}

/** A case with everything that goes into it. */
function prepare({ m, k, n, batch = 1, transposed = false, bias = false, residual = false, scales }: Case) {
  const random = new Random(m * 7 + k + n);
  const attrs = { transposed, scales };
  const operands = [
    { name: "x", shape: [batch, m, k], data: random.floats(batch * m * k) },
    {
      name: "weight",
      shape: transposed ? [batch, k, n] : [batch, n, k],
      data: random.floats(batch * n * k, -3 / Math.sqrt(k), 3 / Math.sqrt(k)),
    },
    ...(bias ? [{ name: "bias", shape: [batch, n], data: random.floats(batch * n) }] : []),
    // In samples of rows, not in one batch entry, as in a block.
    ...(residual ? [{ name: "residual", shape: [batch * m, n], data: random.floats(batch * m * n) }] : []),
  ];
  /** scale · (x Wᵀ + b) + residual in float64. */
  const reference = (...inputs: Float64Array[]): Float64Array => {
    const [x, weight] = inputs as [Float64Array, Float64Array];
    const y = new Float64Array(batch * m * n);
    for (let entry = 0; entry < batch; entry++) {
      const own = (values: Float64Array, size: number) => values.subarray(entry * size, (entry + 1) * size);
      const w = own(weight, n * k);
      const straight = transposed ? w.map((_, i) => w[(i % k) * n + Math.floor(i / k)]) : w;
      const product = linear(own(x, m * k), straight, bias ? own(inputs[2], n) : new Float64Array(n));
      y.set(
        product.map((value) => value * (scales?.[entry] ?? 1)),
        entry * m * n,
      );
    }
    return residual ? y.map((value, i) => value + inputs.at(-1)![i]) : y;
  };
  const inputsOf = (bench: Bench) => {
    const tensors = operands.map(({ name, shape, data }) => [name, bench.input(shape, data)]);
    return Object.fromEntries(tensors) as Parameters<typeof denseOp.kernels>[0]["inputs"];
  };
  const seed = { shape: [batch, m, n], data: random.floats(batch * m * n) };
  return { attrs, operands, inputsOf, reference, seed };
}

const shapes: Case[] = [
  { m: 1, k: 4, n: 4 },
  { m: 5, k: 20, n: 12, bias: true },
  { m: 13, k: 32, n: 16, transposed: true },
  { m: 7, k: 12, n: 36, transposed: true, bias: true, residual: true, scales: [-0.5] },
  { m: 9, k: 16, n: 32, batch: 3, bias: true, scales: [0.25, 1, 1] },
  { m: 6, k: 64, n: 20, residual: true },
  { m: 3, k: 8, n: 4, batch: 5, bias: true }, // more batch entries than can have scales
  { m: 11, k: 20, n: 32, batch: 2, bias: true, residual: true, scales: [2, 0.125] },
  { m: 5, k: 32, n: 64, bias: true, residual: true },
];
const describeCase = ({ m, k, n, batch, scales, ...flags }: Case) =>
  [`[${batch ?? 1}, ${m}, ${k}] → ${n}`, ...Object.keys(flags), ...(scales ? [`scales ${scales}`] : [])].join(", ");

describe("dense", () => {
  const gpu = useGpu();

  const large: Case[] = [
    { m: 401, k: 64, n: 48, bias: true },
    { m: 33, k: 256, n: 128, bias: true, residual: true },
    { m: 40, k: 128, n: 256, batch: 3, transposed: true, scales: [0.0625, 1, 1] },
  ];
  for (const shape of casesFor([...shapes, ...large], 3)) {
    it(describeCase(shape), async () => {
      const { attrs, operands, inputsOf, reference } = prepare(shape);
      const got = await evaluate(gpu(), (bench) => ({ y: bench.graph.apply(denseOp, inputsOf(bench), attrs)[0] }));
      expectClose(got.y, reference(...operands.map(({ data }) => Float64Array.from(data))), 2e-6);
    });
  }

  for (const shape of casesFor(shapes, 2)) {
    it(`gradients of ${describeCase(shape)}`, async () => {
      const { attrs, operands, inputsOf, reference, seed } = prepare(shape);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = inputsOf(bench);
        const [y] = bench.graph.apply(denseOp, inputs, attrs);
        const dy = bench.input(seed.shape, seed.data);
        const gradients = differentiate(bench.graph, y, dy, Object.values(inputs), neverAdded);
        return Object.fromEntries(gradients.map((gradient, i) => [i, gradient as Tensor]));
      });
      const values = operands.map(({ data }) => data);
      for (const which of values.keys()) {
        // It is linear in each input: a large step costs nothing.
        const want = finiteDifferences(reference, values, which, seed.data, 1e-2);
        expectClose(got[which], want, 2e-6);
      }
    });
  }

  it("adds nodes only for the wanted gradients", async () => {
    await evaluate(gpu(), (bench) => {
      const [x, weight, bias] = [
        [1, 3, 4],
        [1, 4, 4],
        [1, 4],
      ].map((shape) => bench.input(shape, new Float32Array(shape.reduce((a, b) => a * b)))) as [Tensor, Tensor, Tensor];
      const [y] = bench.graph.apply(denseOp, { x, weight, bias }, {});
      const [gradient] = differentiate(bench.graph, y, y, [bias], neverAdded) as [Tensor];
      expect(bench.graph.nodes.map(({ op }) => op.name)).toEqual(["dense", "columnSum"]);
      return { gradient };
    });
  });

  it("refuses what does not fit", () => {
    const x = f32(1, 5, 8);
    const outputs = (weight: TensorSpec, more: { bias?: TensorSpec; residual?: TensorSpec } = {}) =>
      denseOp.outputs({ x, weight, ...more }, {});
    expect(() => outputs(f32(1, 8, 12))).toThrow("weight has the shape [1,8,12], not [1,any,8]");
    expect(() => outputs(f32(1, 6, 8))).toThrow("widths 8 and 6 must be multiples of 4");
    expect(() => outputs(f32(1, 4, 8), { bias: f32(1, 8) })).toThrow("bias has the shape [1,8], not [1,4]");
    expect(() => outputs(f32(1, 4, 8), { residual: f32(5, 8) })).toThrow(
      "the residual does not have the size of y, [1,5,4]",
    );
  });
});
