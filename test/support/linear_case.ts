import { expect } from "vitest";
import type { Gpu, Target } from "../../src/gpu/gpu.js";
import type { ActivationType, Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { linearOp } from "../../src/ops/linear.js";
import { linearKey, linearVariants } from "../../src/ops/variants.js";
import { evaluate } from "./gpu.js";
import { activationInput, roundedTo } from "./half.js";
import { expectClose, Random } from "./numbers.js";
import { gelu, layerNorm, linear } from "./reference.js";

/** A linear layer for one variant of its kernel. */
export interface LinearCase {
  batch: number;
  m: number;
  k: number;
  n: number;
  variant: string;
  normalize?: boolean;
  gelu?: boolean;
  residual?: boolean;
  /** Rows of a sample, whose first row is passed through. */
  period?: number;
  /** Added to x: a LayerNorm must cancel it. */
  offset?: number;
}

/** Runs a case with its variant, chosen for `target`, and compares it with float64. */
export async function checkLinear(
  gpu: Gpu,
  target: Target,
  {
    variant,
    normalize = false,
    gelu: withGelu = false,
    residual = false,
    period = 0,
    offset = 0,
    ...sizes
  }: LinearCase,
  dtype: ActivationType,
): Promise<void> {
  const { batch, m, k, n } = sizes;
  const shape = { dtype, ...sizes };
  expect([...linearVariants(target, shape).keys()]).toContain(variant);
  const chosen: Target = { ...withoutGetters(target), tuning: new Map([[linearKey(shape), variant]]) };
  const label = `linear (${variant.split(" ")[0]})`;
  const op: typeof linearOp = {
    ...linearOp,
    kernels: (call) => {
      const kernels = linearOp.kernels(call, chosen);
      expect(kernels.at(-1)?.label).toBe(label);
      return kernels;
    },
  };
  const random = new Random(m + k + n);
  const rounded = (values: Float32Array<ArrayBuffer>) => roundedTo(dtype, values);
  const x = rounded(random.floats(batch * m * k).map((value) => value + offset));
  const weight = rounded(random.floats(batch * n * k, -2 / Math.sqrt(k), 2 / Math.sqrt(k)));
  const bias = random.floats(batch * n);
  const added = rounded(random.floats(batch * m * n));
  const past = { gamma: random.floats(n, 0.5, 2), beta: random.floats(n) };
  const epsilon = 1e-6;
  let y: Tensor | undefined;
  const results = await evaluate(gpu, (bench) => {
    const input = (of: readonly number[], values: Float32Array<ArrayBuffer>) =>
      activationInput(bench, dtype, of, values);
    const sums = Float32Array.from({ length: batch * n }, (_, row) =>
      weight.subarray(row * k, (row + 1) * k).reduce((sum, value) => sum + value, 0),
    );
    const inputs = {
      x: input([batch, m, k], x),
      weight: input([batch, n, k], weight),
      bias: bench.input([batch, n], bias),
      columnSums: normalize ? bench.input([batch, n], sums) : undefined,
      residual: residual ? input([batch, m, n], added) : undefined,
      gamma: period > 0 ? bench.input([n], past.gamma) : undefined,
      beta: period > 0 ? bench.input([n], past.beta) : undefined,
    };
    const attrs = { normalize, gelu: withGelu, passthroughPeriod: period, epsilon };
    [y] = bench.graph.apply(op, inputs, attrs);
    return { y };
  });
  const passed = layerNorm(added, n, past.gamma, past.beta, epsilon);
  const want = Array.from({ length: batch }, (_, b) => {
    const rows = x.subarray(b * m * k, (b + 1) * m * k);
    const ones = new Float32Array(k).fill(1);
    const normalized = normalize ? layerNorm(rows, k, ones, new Float32Array(k), epsilon) : rows;
    const own = linear(normalized, weight.subarray(b * n * k, (b + 1) * n * k), bias.subarray(b * n, (b + 1) * n));
    return Array.from(own, (value, i) => {
      const at = b * m * n + i;
      const inner = withGelu ? gelu(value) : value;
      const kept = period > 0 && Math.floor(i / n) % period === 0 ? passed[at] : inner;
      return kept + (residual ? added[at] : 0);
    });
  }).flat();
  expectClose(floatsOf(results.y, y as Tensor), want, dtype === "f16" ? 1e-3 : offset > 0 ? 2e-4 : 2e-6);
}

function withoutGetters({ adapter, features, limits, forcedKind }: Target): Target {
  return { adapter, features, limits, ...(forcedKind && { forcedKind }) };
}
