// The three convolutional projections of a block in one pass, and their weights with BatchNorm
// folded in.
import depthwiseConvWgsl from "../../shaders/depthwise_conv.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { elementwiseCost, expect, expectActivation, expectShape, groups } from "./common.js";
import { convolutionRun } from "./variants.js";

/**
 * The convolutional projections of a block: x [B, 1 + rows·columns, D] → q, k, v [3, B, 1 +
 * rows·columns, D]. The weight is [9 taps, 3, D] and the bias [3, D], with BatchNorm folded in; the
 * first token is copied.
 */
export const depthwiseConvOp: Op<{ rows: number; columns: number }, "x" | "weight" | "bias"> = {
  name: "convProjection",
  outputs({ x, weight, bias }, { rows, columns }) {
    const { shape, dtype } = expectActivation(x, "x", [-1, 1 + rows * columns, -1]);
    const [b, tokens, width] = shape;
    expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
    expectShape(weight, "weight", [9, 3, width]);
    expectShape(bias, "bias", [3, width]);
    return [{ shape: [3, b, tokens, width], dtype }];
  },
  kernels({ inputs: { x, weight, bias }, outputs: [qkv], attrs: { rows, columns } }, target) {
    const [b, , width] = x.shape;
    const run = convolutionRun(target, rows);
    return [
      {
        label: "depthwise conv",
        wgsl: specialize(depthwiseConvWgsl, {
          constants: { WIDTH: width, ROWS: rows, COLUMNS: columns, SAMPLES: b, RUN: run, RUN_AND_BORDER: run + 2 },
          types: { Act: x.dtype },
        }),
        entryPoint: "convolve",
        bindings: { x, weight, bias, qkv },
        workgroups: [groups((columns * width) / 4, 64), groups(rows, run), b],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 18),
};

/** One of a block's three convolutional projections as a checkpoint has it. */
export interface ConvProjection {
  /** [D, 1, 3, 3] */
  weight: Float32Array;
  /** BatchNorm: each [D]. */
  gamma: Float32Array;
  beta: Float32Array;
  mean: Float32Array;
  variance: Float32Array;
}

/**
 * Folds BatchNorm in evaluation mode into the convolutions before it: w·γ/√(σ²+ε), β − μ·γ/√(σ²+ε).
 * @returns weight [9, 3, D] and bias [3, D]
 */
export function foldBatchNorm(
  projections: readonly ConvProjection[],
  epsilon: number,
): { weight: Float32Array; bias: Float32Array } {
  const width = projections[0]?.gamma.length ?? 0;
  const weight = new Float32Array(9 * 3 * width);
  const bias = new Float32Array(3 * width);
  projections.forEach((p, which) => {
    for (let d = 0; d < width; d++) {
      const scale = p.gamma[d] / Math.sqrt(p.variance[d] + epsilon);
      bias[which * width + d] = p.beta[d] - p.mean[d] * scale;
      for (let tap = 0; tap < 9; tap++) {
        weight[(tap * 3 + which) * width + d] = p.weight[d * 9 + tap] * scale;
      }
    }
  });
  return { weight, bias };
}
