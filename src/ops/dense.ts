import packWeightWgsl from "../../shaders/pack_weight.wgsl";
import weightGradientWgsl from "../../shaders/weight_gradient.wgsl";
import weightGradientSubgroupWgsl from "../../shaders/weight_gradient_subgroup.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Graph, type Kernel, type Op, reshape, type Tensor } from "../graph/graph.js";
import { columnSumKernel, columnSumOp, expectScales, type Scales, scaleConstants } from "./column_sum.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";
import { linearOp } from "./linear.js";
import { linearStrips, subgroupLanes, wideLanes } from "./variants.js";

interface DenseAttrs {
  /** The weight is [batch, K, N] and y = x W. */
  transposed: boolean;
  /** The third input is a bias. */
  bias: boolean;
  /** The last input is added to y. */
  residual: boolean;
  /** A factor of x Wᵀ + b for each batch entry. */
  scales?: Scales;
}

/**
 * The linear layer of training, whose weights stay as PyTorch keeps them: x [batch, M, K], weight [batch, N, K], bias [batch, N], residual of
 * y's size → y [batch, M, N] = scale · (x Wᵀ + b) + residual; and the step's copy of weight [batch, K, N] (of x's type) and bias [batch, N] for
 * {@link linearOp}'s kernels.
 */
export const denseOp: Op<DenseAttrs> = {
  name: "dense",
  outputs([x, weight, ...extra], attrs) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [batch, m, k] = shape as [number, number, number];
    const n = attrs.transposed
      ? dim(expectShape(weight, "weight", [batch, k, -1]), 2)
      : dim(expectShape(weight, "weight", [batch, -1, k]), 1);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    const wanted = (attrs.bias ? 1 : 0) + (attrs.residual ? 1 : 0);
    expect(extra.length === wanted, `${extra.length} extra inputs, ${wanted} expected`);
    if (attrs.bias) expectShape(extra[0], "bias", [batch, n]);
    if (attrs.residual) {
      const { shape } = expectActivation(extra.at(-1), "residual", extra.at(-1)?.shape ?? [], x);
      expect(elementCount(shape) === batch * m * n, `residual has not the size of y, [${batch},${m},${n}]`);
    }
    expectScales(attrs.scales, batch);
    return [
      { shape: [batch, m, n], dtype },
      { shape: [batch, k, n], dtype },
      { shape: [batch, n], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [x, weight, ...extra] = inputs as [Tensor, Tensor, ...Tensor[]];
    const [y, packedWeight, packedBias] = outputs as [Tensor, Tensor, Tensor];
    const [batch, k, n] = packedWeight.shape as [number, number, number];
    const strips = linearStrips(target, n);
    const constants = {
      ...{ N: n, K: k, TRANSPOSED: attrs.transposed },
      ...(strips && { LANES: strips.lanes, STRIPS: strips.strips }),
    };
    const { residual } = attrs;
    const linear = {
      inputs: [x, packedWeight, packedBias, ...(residual ? extra.slice(-1) : [])],
      outputs: [y],
      attrs: { residual },
    };
    return [
      {
        label: "pack weight",
        wgsl: specialize(packWeightWgsl, {
          constants: { ...constants, ...scaleConstants(attrs.scales) },
          types: { Act: packedWeight.dtype },
          flags: { BIAS: attrs.bias, STRIPS: strips !== undefined },
        }),
        entryPoint: "pack",
        bindings: { weight, packedWeight, packedBias, ...(attrs.bias && { bias: extra[0] }) },
        workgroups: [groups((k * n) / 16, 64), 1, batch],
      },
      ...linearOp.kernels(linear, target),
    ];
  },
  cost(call) {
    const y = call.outputs[0];
    return { flops: 2 * elementCount(y.shape) * dim(call.inputs[0], 2), bytes: bytesOf(call) };
  },
  gradient({ inputs, attrs }, [dy], graph, needed) {
    if (!dy) return [];
    const [x, weight] = inputs as [Tensor, Tensor];
    const { transposed, scales } = attrs;
    const [residualAt, biasAt] = [attrs.residual ? inputs.length - 1 : -1, attrs.bias ? 2 : -1];
    return inputs.map((input, i) => {
      if (!needed[i]) return undefined;
      if (i === residualAt) return reshape(dy, input.shape);
      if (i === biasAt) return graph.apply(columnSumOp, [dy], { scales })[0];
      if (i === 1) return weightGradient(graph, transposed ? [dy, x] : [x, dy], scales);
      return graph.apply(denseOp, [dy, weight], { transposed: !transposed, bias: false, residual: false, scales })[0];
    });
  },
};

function weightGradient(graph: Graph, inputs: readonly Tensor[], scales: Scales): Tensor {
  return graph.apply(weightGradientOp, inputs, { scales })[0];
}

/**
 * The gradient of a linear layer's weight: x [batch, M, K], dy [batch, M, N] → scale · dyᵀ x [batch, N, K]; and the matrices of chunks of
 * rows [batch, chunks, N, K], which are a step on the way.
 */
export const weightGradientOp: Op<{ scales?: Scales }> = {
  name: "weightGradient",
  outputs([x, dy], { scales }) {
    const [batch, m, k] = expectActivation(x, "x", [-1, -1, -1]).shape as [number, number, number];
    const n = dim(expectActivation(dy, "dy", [batch, m, -1], x), 2);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    expectScales(scales, batch);
    const chunks = groups(m, chunkRows(batch, m, n, k));
    return [
      [batch, n, k],
      [batch, chunks, n, k],
    ].map((shape) => ({ shape, dtype: "f32" }));
  },
  kernels({ inputs, outputs, attrs: { scales } }, target) {
    const [x, dy] = inputs as [Tensor, Tensor];
    const [gradient, partial] = outputs as [Tensor, Tensor];
    const [batch, chunks, n, k] = partial.shape as [number, number, number, number];
    return [
      partialSums(target, x, dy, partial),
      columnSumKernel(target, [partial, gradient], { batch, rows: chunks, width: n * k, chunk: chunks }, scales),
    ];
  },
  cost(call) {
    const [x, dy] = call.inputs as [Tensor, Tensor];
    return { flops: 2 * elementCount(x.shape) * dim(dy, 2), bytes: bytesOf(call) };
  },
};

function partialSums(target: Target, x: Tensor, dy: Tensor, partial: Tensor): Kernel {
  const [batch, chunks, n, k] = partial.shape as [number, number, number, number];
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

/** Rows of a chunk: some thousand workgroups of 64×64 weights, at least 128 rows each, and at most 64 MB of partial sums. */
function chunkRows(batch: number, m: number, n: number, k: number): number {
  const toFill = Math.ceil(1024 / (batch * groups(n, 64) * groups(k, 64)));
  const thatFit = Math.floor(2 ** 24 / (batch * n * k));
  return Math.ceil(m / Math.max(1, Math.min(toFill, thatFit, groups(m, 128))));
}
