import weightGradientWgsl from "../../shaders/weight_gradient.wgsl";
import weightGradientSubgroupWgsl from "../../shaders/weight_gradient_subgroup.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { columnSumKernel, expectScales, type Scales } from "./column_sum.js";
import { bytesOf, dim, expect, expectActivation, groups } from "./common.js";
import { subgroupLanes, wideLanes } from "./variants.js";

/**
 * The gradient of a linear layer's weight: x [batch, M, K], dy [batch, M, N] → scale · dyᵀ x
 * [batch, N, K]; and the matrices of chunks of rows [batch, chunks, N, K].
 */
export const weightGradientOp: Op<{ scales?: Scales }, "x" | "dy"> = {
  name: "weightGradient",
  outputs({ x, dy }, { scales }) {
    const [batch, m, k] = expectActivation(x, "x", [-1, -1, -1]).shape;
    const n = dim(expectActivation(dy, "dy", [batch, m, -1], x), 2);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    expectScales(scales, batch);
    const chunks = groups(m, chunkRows(batch, m, n, k));
    return [
      { shape: [batch, n, k], dtype: "f32" },
      { shape: [batch, chunks, n, k], dtype: "f32" },
    ];
  },
  kernels({ inputs: { x, dy }, outputs: [gradient, partial], attrs: { scales } }, target) {
    const [batch, chunks, n, k] = partial.shape;
    return [
      partialSums(target, x, dy, partial),
      columnSumKernel(target, [partial, gradient], { batch, rows: chunks, width: n * k, chunk: chunks }, scales),
    ];
  },
  cost(call) {
    const { x, dy } = call.inputs;
    return { flops: 2 * elementCount(x.shape) * dim(dy, 2), bytes: bytesOf(call) };
  },
};

function partialSums(target: Target, x: Tensor, dy: Tensor, partial: Tensor): Kernel {
  const [batch, chunks, n, k] = partial.shape;
  const m = dim(x, 1);
  const constants = { M: m, N: n, K: k, CHUNK: chunkRows(batch, m, n, k) };
  const types = { Act: x.dtype };
  const bindings = { x, dy, partial };
  const lanes = subgroupLanes(target);
  if (lanes !== undefined) {
    const direct = lanes === wideLanes;
    const strips = !direct && k % (8 * lanes) === 0 ? 2 : 1;
    return {
      label: "weight gradient (subgroup)",
      wgsl: specialize(weightGradientSubgroupWgsl, {
        constants: { ...constants, LANES: lanes, STRIPS: strips },
        types,
        flags: { DIRECT: direct },
      }),
      entryPoint: "weightGradient",
      bindings,
      workgroups: [groups(k, 4 * lanes * strips), groups(n, 4 * lanes), batch * chunks],
    };
  }
  return {
    label: "weight gradient",
    wgsl: specialize(weightGradientWgsl, { constants, types }),
    entryPoint: "weightGradient",
    bindings,
    workgroups: [groups(k, 64), groups(n, 64), batch * chunks],
  };
}

/**
 * Rows of a chunk: about a thousand workgroups of 64×64 weights, at least 128 rows each, and at
 * most 64 MB of partial sums.
 */
function chunkRows(batch: number, m: number, n: number, k: number): number {
  const toFill = Math.ceil(1024 / (batch * groups(n, 64) * groups(k, 64)));
  const thatFit = Math.floor(2 ** 24 / (batch * n * k));
  return Math.ceil(m / Math.max(1, Math.min(toFill, thatFit, groups(m, 128))));
}
