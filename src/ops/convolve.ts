import depthwiseConvWgsl from "../../shaders/depthwise_conv.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { dim, elementwiseCost, expectShape } from "./common.js";
import { expectTokens, type Grid, tokenRuns, transpose } from "./convolution.js";
import { convolveBackwardOp } from "./convolve_backward.js";
import { convolveWeightGradientOp } from "./convolve_weight_gradient.js";

/**
 * The three convolutions of a block's projections in training: x [B, 1 + rows·columns, D], weight
 * [3, D, 9] (PyTorch's `conv.weight` of q, k and v) → [3, B, 1 + rows·columns, D], and the weight
 * by taps [9, 3, D]. Depthwise 3×3, padding 1, no bias; the first token is copied.
 */
export const convolveOp: Op<Grid, "x" | "weight"> = {
  name: "convolve",
  outputs({ x, weight }, grid) {
    const { b, tokens, width, dtype } = expectTokens(x, grid);
    expectShape(weight, "weight", [3, width, 9]);
    return [
      { shape: [3, b, tokens, width], dtype },
      { shape: [9, 3, width], dtype: "f32" },
    ];
  },
  kernels({ inputs: { x, weight }, outputs: [qkv, taps], attrs }, target) {
    const { constants, workgroups } = tokenRuns(target, x, attrs);
    return [
      transpose("conv taps", weight, taps, 3 * dim(x, 2), 9),
      {
        label: "depthwise conv",
        wgsl: specialize(depthwiseConvWgsl, { constants, types: { Act: x.dtype }, flags: { UNBIASED: true } }),
        entryPoint: "convolve",
        bindings: { x, weight: taps, qkv },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 18),
  gradient({ inputs: { x }, outputs: [, taps], attrs }, dy, graph, needed) {
    return {
      x: needed.x ? graph.apply(convolveBackwardOp, { dy, taps }, attrs)[0] : undefined,
      weight: needed.weight ? graph.apply(convolveWeightGradientOp, { x, dy }, attrs)[0] : undefined,
    };
  },
};
