import { describe, expect, it } from "vitest";
import type { Gpu, MatrixUnit, Target } from "../../src/gpu/gpu.js";
import type { Op, Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { attentionOp } from "../../src/ops/attention.js";
import { linearOp } from "../../src/ops/linear.js";
import {
  type AttentionShape,
  attentionKey,
  attentionVariants,
  type LinearShape,
  linearKey,
  linearVariants,
} from "../../src/ops/variants.js";
import { casesFor, evaluate, testAdapter, useGpu } from "../support/gpu.js";
import { halfInput, needsHalf, roundedToHalf } from "../support/half.js";
import { emulateMatrixUnits } from "../support/matrix_units.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention, gelu, layerNorm, linear } from "../support/reference.js";

/**
 * The variants for GPUs, on the adapter of the tests, which would choose others: tiles as they are, matrix units emulated.
 */
const gpu = useGpu();

/** A target that has what GPUs have. @param lanes of a subgroup */
function gpuTarget({ adapter, features, limits }: Gpu, lanes: number, variant: [key: string, name: string]): Target {
  const matrixUnits: MatrixUnit[] = [{ input: "f16", result: "f32", m: 16, n: 16, k: 16 }];
  return {
    adapter: { ...adapter, kind: "gpu", subgroupSize: lanes, matrixUnits },
    features: new Set([...features, "chromium-experimental-subgroup-matrix"]),
    limits,
    tuning: new Map([variant]),
  };
}

/** The op with the kernels of another target. */
function on<A>(op: Op<A>, target: Target, lanes: number, label: string): Op<A> {
  return {
    ...op,
    kernels: (call) =>
      op.kernels(call, target).map((kernel) => {
        expect(kernel.label).toBe(label);
        const emulated = kernel.wgsl.includes("subgroup_matrix");
        return emulated ? { ...kernel, wgsl: emulateMatrixUnits(kernel.wgsl, lanes) } : kernel;
      }),
  };
}

const lanes = 32;

interface LinearCase {
  batch: number;
  m: number;
  k: number;
  n: number;
  variant: string;
  normalize?: boolean;
  gelu?: boolean;
  residual?: boolean;
  period?: number;
}

async function checkLinear(
  { variant, normalize = false, gelu: withGelu = false, residual = false, period = 0, ...sizes }: LinearCase,
  half: boolean,
) {
  const { batch, m, k, n } = sizes;
  const shape: LinearShape = { dtype: half ? "f16" : "f32", ...sizes };
  const target = gpuTarget(gpu(), lanes, [linearKey(shape), variant]);
  expect([...linearVariants(target, shape).keys()]).toContain(variant);
  const random = new Random(m + k + n);
  const rounded = (values: Float32Array<ArrayBuffer>) => (half ? roundedToHalf(values) : values);
  const x = rounded(random.floats(batch * m * k));
  const weights = Array.from({ length: batch }, () =>
    rounded(random.floats(n * k, -2 / Math.sqrt(k), 2 / Math.sqrt(k))),
  );
  const bias = random.floats(batch * n);
  const added = rounded(random.floats(batch * m * n));
  const past = { gamma: random.floats(n, 0.5, 2), beta: random.floats(n) };
  const epsilon = 1e-6;
  let y: Tensor | undefined;
  const results = await evaluate(gpu(), (bench) => {
    const input = (of: readonly number[], values: Float32Array<ArrayBuffer>) =>
      half ? halfInput(bench, of, values) : bench.input(of, values);
    const columns = new Float32Array(batch * k * n);
    for (const [b, weight] of weights.entries()) {
      for (let i = 0; i < n * k; i++) columns[b * n * k + (i % k) * n + Math.floor(i / k)] = weight[i]!;
    }
    const inputs = [input([batch, m, k], x), input([batch, k, n], columns), bench.input([batch, n], bias)];
    const sums = weights.flatMap((weight) =>
      Array.from({ length: n }, (_, row) => weight.subarray(row * k, (row + 1) * k).reduce((sum, v) => sum + v, 0)),
    );
    if (normalize) inputs.push(bench.input([batch, n], Float32Array.from(sums)));
    if (residual) inputs.push(input([batch, m, n], added));
    if (period > 0) inputs.push(bench.input([n], past.gamma), bench.input([n], past.beta));
    const attrs = { normalize, gelu: withGelu, residual, passthroughPeriod: period, epsilon };
    const label = `linear (${variant.split(" ")[0]})`;
    [y] = bench.graph.apply(on(linearOp, target, lanes, label), inputs, attrs) as [Tensor];
    return { y };
  });
  const want = weights.flatMap((weight, b) => {
    const rows = x.subarray(b * m * k, (b + 1) * m * k);
    const ones = new Float32Array(k).fill(1);
    const normalized = normalize ? layerNorm(rows, k, ones, new Float32Array(k), epsilon) : rows;
    const passed = layerNorm(added, n, past.gamma, past.beta, epsilon);
    const own = linear(normalized, weight, bias.subarray(b * n, (b + 1) * n));
    return Array.from(own, (value, i) => {
      const at = b * m * n + i;
      const inner = withGelu ? gelu(value) : value;
      const kept = period > 0 && Math.floor(i / n) % period === 0 ? passed[at]! : inner;
      return kept + (residual ? added[at]! : 0);
    });
  });
  expectClose(floatsOf(results.y as Float32Array, y as Tensor), want, half ? 1e-3 : 2e-6);
}

describe("linear layers, tiled", () => {
  // Rows, columns that are no whole tile; an inner width of one step, and of many.
  for (const c of casesFor(
    [
      { batch: 1, m: 70, k: 16, n: 64, variant: "tiled 64x64 by 256" },
      { batch: 3, m: 64, k: 48, n: 100, variant: "tiled 64x64 by 256", normalize: true, gelu: true },
      { batch: 1, m: 131, k: 64, n: 80, variant: "tiled 64x32 by 64", residual: true },
      { batch: 1, m: 33, k: 32, n: 32, variant: "tiled 32x32 by 64", residual: true, period: 11 },
      { batch: 2, m: 100, k: 64, n: 128, variant: "tiled 64x128 by 256", normalize: true, residual: true },
    ] satisfies LinearCase[] as LinearCase[],
    1,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 120_000 }, () => checkLinear(c, false));
  }

  it("in float16", { timeout: 120_000 }, async (test) => {
    needsHalf(gpu(), test);
    const variant = "tiled 64x64 by 256";
    await checkLinear({ batch: 1, m: 70, k: 32, n: 76, variant, residual: true }, true);
    await checkLinear({ batch: 1, m: 70, k: 32, n: 76, variant, normalize: true }, true);
  });
});

describe("linear layers on matrix units", () => {
  for (const c of casesFor(
    [
      { batch: 1, m: 40, k: 16, n: 64, variant: "matrix 2x2" },
      { batch: 1, m: 70, k: 32, n: 64, variant: "matrix 4x2", residual: true, period: 7 },
      { batch: 2, m: 20, k: 48, n: 64, variant: "matrix 1x2", normalize: true, gelu: true, residual: true },
      { batch: 1, m: 70, k: 64, n: 64, variant: "matrix 2x2", normalize: true },
    ] satisfies LinearCase[] as LinearCase[],
    1,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 240_000 }, async (test) => {
      needsHalf(gpu(), test);
      await checkLinear(c, true);
    });
  }

  // In float32, and as exact as that.
  for (const c of casesFor(
    [
      { batch: 1, m: 33, k: 16, n: 64, variant: "split 1x2", residual: true, period: 11 },
      { batch: 2, m: 40, k: 32, n: 32, variant: "split 2x1", residual: true },
      { batch: 2, m: 70, k: 64, n: 64, variant: "split 2x2", normalize: true, gelu: true },
    ] satisfies LinearCase[] as LinearCase[],
    2,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 240_000 }, async (test) => {
      needsHalf(gpu(), test);
      await checkLinear(c, false);
    });
  }
});

async function checkAttention(
  sizes: Omit<AttentionShape, "dtype">,
  variant: string,
  half: boolean,
  subgroup: number,
  spread = 1,
) {
  const { samples, tokens, heads, headWidth } = sizes;
  const width = heads * headWidth;
  const shape: AttentionShape = { dtype: half ? "f16" : "f32", ...sizes };
  const target = gpuTarget(gpu(), subgroup, [attentionKey(shape), variant]);
  expect([...attentionVariants(target, shape).keys()]).toContain(variant);
  const random = new Random(tokens + width);
  const plane = samples * tokens * width;
  const floats = random.floats(3 * plane);
  for (let i = 0; i < plane; i++) floats[i]! *= spread;
  const qkv = half ? roundedToHalf(floats) : floats;
  let y: Tensor | undefined;
  const results = await evaluate(gpu(), (bench) => {
    const of = [3, samples, tokens, width];
    const input = half ? halfInput(bench, of, qkv) : bench.input(of, qkv);
    const label = `attention (${variant.split(" ")[0]})`;
    [y] = bench.graph.apply(on(attentionOp, target, subgroup, label), [input], { heads }) as [Tensor];
    return { y };
  });
  const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray(i * plane, (i + 1) * plane)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const want = attention(q, k, v, { batch: samples, tokens, width, heads });
  expectClose(floatsOf(results.y as Float32Array, y as Tensor), want, half ? 2e-3 : spread > 1 ? 3e-5 : 3e-6);
}

describe("attention, tiled", () => {
  // Its shuffles reach 8 lanes, which lavapipe's subgroups have.
  for (const [sizes, spread] of casesFor(
    [
      [{ samples: 2, tokens: 37, heads: 2, headWidth: 32 }, 1],
      [{ samples: 1, tokens: 101, heads: 1, headWidth: 64 }, 1],
      [{ samples: 1, tokens: 70, heads: 2, headWidth: 32 }, 60],
    ] as const,
    1,
  )) {
    const name = `${sizes.samples}×${sizes.tokens} tokens, ${sizes.heads} heads of ${sizes.headWidth}, scores times ${spread}`;
    it(name, { timeout: 240_000 }, async ({ skip }) => {
      if (gpu().adapter.subgroupSize !== 8) skip(`subgroups of ${gpu().adapter.subgroupSize}`);
      await checkAttention(sizes, "tiled 16x32", false, 8, spread);
    });
  }
});

describe("without a tuning table", () => {
  it("a GPU gets tiles, and never matrix units, which have to be measured first", () => {
    const target = {
      ...gpuTarget(gpu(), lanes, ["", ""]),
      features: new Set(["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"]),
    };
    const linears = linearVariants(target, { dtype: "f16", batch: 1, m: 401, k: 256, n: 256 });
    expect([...linears.values()][0]?.kind).toBe("tiled");
    expect([...linears.values()].map((v) => v.kind)).toContain("matrix");
    const attentions = attentionVariants(target, { dtype: "f16", samples: 1, tokens: 401, heads: 4, headWidth: 64 });
    expect([...attentions.values()][0]?.kind).toBe("tiled");
    expect([...attentions.values()].map((v) => v.kind)).toContain("matrix");
  });

  it(`${testAdapter} gets what was measured for it`, () => {
    if (!["swiftshader", "lavapipe"].includes(gpu().adapter.kind)) return;
    const linears = linearVariants(gpu(), { dtype: "f32", batch: 1, m: 401, k: 256, n: 256 });
    expect(new Set([...linears.values()].map((v) => v.kind))).toEqual(new Set(["subgroup"]));
  });
});
