import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { denseOp, weightGradientOp } from "../../src/ops/dense.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { linear } from "../support/reference.js";
import { asOnGpu } from "../support/variants.js";

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
  const attrs = { transposed, bias, residual, ...(scales && { scales }) };
  const operands = [
    { shape: [batch, m, k], data: random.floats(batch * m * k) },
    {
      shape: transposed ? [batch, k, n] : [batch, n, k],
      data: random.floats(batch * n * k, -3 / Math.sqrt(k), 3 / Math.sqrt(k)),
    },
    ...(bias ? [{ shape: [batch, n], data: random.floats(batch * n) }] : []),
    // As a block's residual is: in samples of rows, not in one batch entry.
    ...(residual ? [{ shape: [batch * m, n], data: random.floats(batch * m * n) }] : []),
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
  return { attrs, operands, reference, seed: { shape: [batch, m, n], data: random.floats(batch * m * n) } };
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
      const { attrs, operands, reference } = prepare(shape);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = operands.map((operand) => bench.input(operand.shape, operand.data));
        return { y: bench.graph.apply(denseOp, inputs, attrs)[0] };
      });
      expectClose(got.y, reference(...operands.map(({ data }) => Float64Array.from(data))), 2e-6);
    });
  }

  for (const shape of casesFor(shapes, 2)) {
    it(`gradients of ${describeCase(shape)}`, async () => {
      const { attrs, operands, reference, seed } = prepare(shape);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = operands.map((operand) => bench.input(operand.shape, operand.data));
        const [y] = bench.graph.apply(denseOp, inputs, attrs) as [Tensor];
        const gradients = differentiate(bench.graph, y, bench.input(seed.shape, seed.data), inputs, neverAdded);
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

  it("adds only the nodes of the gradients that are asked for", async () => {
    await evaluate(gpu(), (bench) => {
      const [x, weight, bias] = [
        [1, 3, 4],
        [1, 4, 4],
        [1, 4],
      ].map((shape) => bench.input(shape, new Float32Array(shape.reduce((a, b) => a * b)))) as [Tensor, Tensor, Tensor];
      const attrs = { transposed: false, bias: true, residual: false };
      const [y] = bench.graph.apply(denseOp, [x, weight, bias], attrs) as [Tensor];
      const [gradient] = differentiate(bench.graph, y, y, [bias], neverAdded) as [Tensor];
      expect(bench.graph.nodes.map(({ op }) => op.name)).toEqual(["dense", "columnSum"]);
      return { gradient };
    });
  });

  it("refuses what does not fit", () => {
    const outputs = (attrs: { transposed: boolean; bias: boolean; residual: boolean }, ...shapes: number[][]) =>
      denseOp.outputs(
        shapes.map((shape) => ({ shape, dtype: "f32" })),
        attrs,
      );
    const plain = { transposed: false, bias: false, residual: false };
    expect(() => outputs(plain, [1, 5, 8], [1, 8, 12])).toThrow("weight has the shape [1,8,12], not [1,any,8]");
    expect(() => outputs(plain, [1, 5, 8], [1, 6, 8])).toThrow("widths 8 and 6 must be multiples of 4");
    expect(() => outputs({ ...plain, bias: true }, [1, 5, 8], [1, 4, 8])).toThrow("0 extra inputs, 1 expected");
    expect(() => outputs({ ...plain, residual: true }, [1, 5, 8], [1, 4, 8], [5, 8])).toThrow(
      "residual has not the size of y, [1,5,4]",
    );
  });
});

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
      const inputs = [bench.input([batch, m, k], x), bench.input([batch, m, n], dy)];
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

function neverAdded(): Tensor {
  throw new Error("no tensor is used twice");
}
