import { describe, expect, it } from "vitest";
import { foldNorm, linearOp, linearWeights, weightColumnSums } from "../../src/ops/linear.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { erf, gelu, layerNorm, linear } from "../support/reference.js";

const epsilon = 1e-6;

interface Case {
  m: number;
  k: number;
  n: number;
  layers?: number;
  normalize?: boolean;
  gelu?: boolean;
  residual?: boolean;
  /** Rows of a sample. */
  period?: number;
  /** Added to x: a LayerNorm must cancel it. */
  offset?: number;
}

describe("linear", () => {
  const gpu = useGpu();

  async function check({ m, k, n, layers = 1, period = 0, offset = 0, ...flags }: Case): Promise<void> {
    const { normalize, gelu: withGelu, residual: withResidual } = flags;
    const random = new Random(m * 7 + k + n);
    const x = random.floats(layers * m * k).map((value) => value + offset);
    // As PyTorch initialises: U(±1/√fan_in), a little larger so that GELU sees its whole range.
    const weights = Array.from({ length: layers }, () => ({
      weight: random.floats(n * k, -3 / Math.sqrt(k), 3 / Math.sqrt(k)),
      bias: random.floats(n),
    }));
    const residual = random.floats(layers * m * n);
    const norm = { gamma: random.floats(k, 0.5, 2), beta: random.floats(k) };
    const past = { gamma: random.floats(n, 0.5, 2), beta: random.floats(n) };
    const got = await evaluateOne(gpu(), (bench) => {
      const folded = normalize ? weights.map((layer) => foldNorm(layer, norm)) : weights;
      const inputs = {
        x: bench.input([layers, m, k], x),
        ...linearWeights(bench.graph, "layer", folded),
        columnSums: normalize ? weightColumnSums(bench.graph, "layer", folded) : undefined,
        residual: withResidual ? bench.input([layers, m, n], residual) : undefined,
        gamma: period > 0 ? bench.input([n], past.gamma) : undefined,
        beta: period > 0 ? bench.input([n], past.beta) : undefined,
      };
      const attrs = { normalize, gelu: withGelu, passthroughPeriod: period, epsilon };
      return bench.graph.apply(linearOp, inputs, attrs)[0];
    });
    const own = normalize ? layerNorm(x, k, norm.gamma, norm.beta, epsilon) : x;
    const want = weights.flatMap(({ weight, bias }, i) => [
      ...linear(own.subarray(i * m * k, (i + 1) * m * k), weight, bias),
    ]);
    const passthrough = layerNorm(residual, n, past.gamma, past.beta, epsilon);
    const finished = want.map((value, i) => {
      const inner = withGelu ? gelu(value) : value;
      const kept = period > 0 && Math.floor(i / n) % period === 0 ? passthrough[i] : inner;
      return kept + (withResidual ? residual[i] : 0);
    });
    expectClose(got, finished, offset > 0 ? 2e-4 : 2e-6);
  }

  const shapes: Case[] = [
    { m: 1, k: 16, n: 16 },
    { m: 13, k: 32, n: 16 },
    { m: 25, k: 64, n: 128 },
    { m: 33, k: 128, n: 64 },
    { m: 101, k: 256, n: 64 },
    { m: 401, k: 64, n: 32 },
    { m: 66, k: 16, n: 20 },
    { m: 5, k: 20, n: 12 },
    { m: 3, k: 32, n: 1024 },
    { m: 64, k: 128, n: 256 },
    { m: 13, k: 32, n: 32, layers: 3 },
    { m: 50, k: 64, n: 64, layers: 3 },
    { m: 7, k: 256, n: 256, layers: 3 },
  ];
  for (const shape of casesFor(shapes, 3)) {
    it(`[${shape.layers ?? 1}, ${shape.m}, ${shape.k}] → ${shape.n}`, () => check(shape));
  }
  for (const shape of casesFor(
    [
      { m: 26, k: 32, n: 64, period: 13 },
      { m: 99, k: 64, n: 32, period: 33 },
      { m: 1, k: 16, n: 16, period: 1 },
      // Several tiles of rows, the last one short; one strip of columns with 16 lanes.
      { m: 101, k: 36, n: 64, period: 25 },
      { m: 2, k: 128, n: 256, period: 1 },
    ],
    2,
  )) {
    it(`[1, ${shape.m}, ${shape.k}] → ${shape.n} with GELU`, () => check({ ...shape, period: 0, gelu: true }));
    it(`[1, ${shape.m}, ${shape.k}] → ${shape.n} plus a residual`, () =>
      check({ ...shape, period: 0, residual: true }));
    it(`[1, ${shape.m}, ${shape.k}] → ${shape.n} of normalised rows`, () =>
      check({ ...shape, period: 0, normalize: true, gelu: true }));
    it(`[1, ${shape.m}, ${shape.k}] → ${shape.n}, cls of each ${shape.period} passed through, plus a residual`, () =>
      check({ ...shape, residual: true }));
    it(`[1, ${shape.m}, ${shape.k}] → ${shape.n}, all options at once`, () =>
      check({ ...shape, normalize: true, gelu: true, residual: true }));
  }

  it("normalises rows that are far from zero, of several layers", async () => {
    await check({ m: 19, k: 64, n: 32, layers: 3, normalize: true });
    // Next to 1000, float32 keeps 14 bits of a value. The input has lost the others already.
    await check({ m: 19, k: 64, n: 32, normalize: true, offset: 1000 });
  });

  it("has an exact GELU over its whole range", async () => {
    const values = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) / 256);
    // Each output is one input value: an identity matrix of 4.
    const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
    const got = await evaluateOne(gpu(), (bench) => {
      const weights = linearWeights(bench.graph, "identity", [{ weight: identity, bias: new Float32Array(4) }]);
      const x = bench.input([1, 1024, 4], values);
      return bench.graph.apply(linearOp, { x, ...weights }, { gelu: true })[0];
    });
    let worst = 0;
    for (const [i, v] of values.entries()) worst = Math.max(worst, Math.abs(got[i] - gelu(v)));
    expect(worst).toBeLessThan(2e-6);
  });

  it("refuses shapes that do not fit", () => {
    const bias = f32(1, 16);
    const odd = { x: f32(1, 2, 18), weight: f32(1, 16, 18), bias };
    expect(() => linearOp.outputs(odd, {})).toThrow("widths 18 and 16 must be multiples of 4");
    const transposed = { x: f32(1, 2, 8), weight: f32(1, 8, 16), bias };
    expect(() => linearOp.outputs(transposed, {})).toThrow("weight has the shape [1,8,16], not [1,any,8]");
    const inputs = { x: f32(1, 2, 16), weight: f32(1, 16, 16), bias };
    expect(() => linearOp.outputs({ ...inputs, residual: f32(1, 2, 8) }, {})).toThrow("the residual has y's size");
    const columnSums = f32(1, 2, 8);
    expect(() => linearOp.outputs(inputs, { normalize: true })).toThrow("columnSums is missing");
    expect(() => linearOp.outputs({ ...inputs, columnSums }, {})).toThrow("columnSums is given, but not used");
    expect(() => linearOp.outputs({ ...inputs, columnSums }, { normalize: true })).toThrow("columnSums has the shape");
    const past = { ...inputs, gamma: f32(16), beta: f32(16) };
    expect(() => linearOp.outputs(past, { passthroughPeriod: 2 })).toThrow("one batch entry's residual");
  });
});

describe("the reference's erf", () => {
  // Values to 17 digits from the tables in DLMF §7.23 / mpmath.
  const known: [number, number][] = [
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [2.5, 0.999593047982555],
    [3, 0.9999779095030014],
    [4, 0.9999999845827421],
  ];
  it("is right to 1e-15", () => {
    for (const [x, want] of known) {
      expect(Math.abs(erf(x) - want)).toBeLessThan(1e-15);
      expect(Math.abs(erf(-x) + want)).toBeLessThan(1e-15);
    }
  });
});
