import packWeightWgsl from "../../shaders/pack_weight.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, reshape } from "../graph/graph.js";
import { columnSumOp, expectScales, type Scales, scaleConstants } from "./column_sum.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";
import { linearOp } from "./linear.js";
import { linearStrips } from "./variants.js";
import { weightGradientOp } from "./weight_gradient.js";

interface DenseAttrs {
  /** The weight is [batch, K, N] and y = x W. */
  transposed?: boolean;
  /** A factor of x Wᵀ + b for each batch entry. */
  scales?: Scales;
}

/**
 * The linear layer of training, whose weights stay as PyTorch keeps them: x [batch, M, K], weight
 * [batch, N, K], bias [batch, N], a residual of y's size → y [batch, M, N] = scale · (x Wᵀ + b) +
 * residual; and the step's copies of the weight [batch, N, K] (of x's type) and the bias [batch, N]
 * for {@link linearOp}'s kernels.
 */
export const denseOp: Op<DenseAttrs, "x" | "weight", "bias" | "residual"> = {
  name: "dense",
  outputs({ x, weight, bias, residual }, { transposed, scales }) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [batch, m, k] = shape;
    const n = transposed
      ? dim(expectShape(weight, "weight", [batch, k, -1]), 2)
      : dim(expectShape(weight, "weight", [batch, -1, k]), 1);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    if (bias) expectShape(bias, "bias", [batch, n]);
    if (residual) {
      const { shape } = expectActivation(residual, "residual", residual.shape, x);
      expect(elementCount(shape) === batch * m * n, `the residual does not have the size of y, [${batch},${m},${n}]`);
    }
    expectScales(scales, batch);
    return [
      { shape: [batch, m, n], dtype },
      { shape: [batch, n, k], dtype },
      { shape: [batch, n], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs: [y, packedWeight, packedBias], attrs }, target) {
    const { x, weight, bias, residual } = inputs;
    const { transposed = false, scales } = attrs;
    const [batch, n, k] = packedWeight.shape;
    const strips = linearStrips(target, n);
    const constants = {
      ...{ N: n, K: k, TRANSPOSED: transposed },
      ...(strips && { LANES: strips.lanes, STRIPS: strips.strips }),
    };
    const linear = { inputs: { x, weight: packedWeight, bias: packedBias, residual }, outputs: [y], attrs: {} };
    return [
      {
        label: "pack weight",
        wgsl: specialize(packWeightWgsl, {
          constants: { ...constants, ...scaleConstants(scales) },
          types: { Act: packedWeight.dtype },
          flags: { BIAS: bias !== undefined, STRIPS: strips !== undefined },
        }),
        entryPoint: "pack",
        bindings: { weight, packedWeight, packedBias, bias },
        workgroups: [groups((k * n) / 16, 64), 1, batch],
      },
      ...linearOp.kernels(linear, target),
    ];
  },
  cost(call) {
    const [y] = call.outputs;
    return { flops: 2 * elementCount(y.shape) * dim(call.inputs.x, 2), bytes: bytesOf(call) };
  },
  gradient({ inputs: { x, weight, residual }, attrs: { transposed, scales } }, dy, graph, needed) {
    const dx = () => graph.apply(denseOp, { x: dy, weight }, { transposed: !transposed, scales })[0];
    const dweight = () => graph.apply(weightGradientOp, transposed ? { x: dy, dy: x } : { x, dy }, { scales })[0];
    return {
      x: needed.x ? dx() : undefined,
      weight: needed.weight ? dweight() : undefined,
      bias: needed.bias ? graph.apply(columnSumOp, { x: dy }, { scales })[0] : undefined,
      residual: residual && reshape(dy, residual.shape),
    };
  },
};
