// The gradients of the losses with respect to token errors.
import lossesBackwardWgsl from "../../shaders/losses_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, expectShape } from "./common.js";

export interface LossAttrs {
  /** Which error: of teacher against student, or of target against teacher. */
  error: "student" | "target";
  keep: number;
}

/**
 * The gradient of the weighted loss with respect to the errors: weights [B, L], dLoss [1] → [B, L,
 * 2].
 */
export const weightedLossBackwardOp: Op<LossAttrs, "weights" | "dLoss"> = {
  name: "weightedLossBackward",
  outputs({ weights, dLoss }) {
    const [b, tokens] = expectShape(weights, "weights", [-1, -1]).shape;
    expectShape(dLoss, "dLoss", [1]);
    return [{ shape: [b, tokens, 2], dtype: "f32" }];
  },
  kernels: ({ inputs: { weights, dLoss }, outputs: [dErrors], attrs }) => [
    lossBackwardKernel({ weights, dLoss, dErrors }, attrs),
  ],
  cost: (call) => ({ flops: 3 * elementCount(call.inputs.weights.shape), bytes: bytesOf(call) }),
};

/**
 * The gradient of the masked loss with respect to the errors: idsRestore [B, L], dLoss [1] → [B, L,
 * 2].
 */
export const maskedLossBackwardOp: Op<LossAttrs, "idsRestore" | "dLoss"> = {
  name: "maskedLossBackward",
  outputs({ idsRestore, dLoss }) {
    const [b, tokens] = expectShape(idsRestore, "idsRestore", [-1, -1]).shape;
    expectShape(dLoss, "dLoss", [1]);
    return [{ shape: [b, tokens, 2], dtype: "f32" }];
  },
  kernels: ({ inputs: { idsRestore, dLoss }, outputs: [dErrors], attrs }) => [
    lossBackwardKernel({ idsRestore, dLoss, dErrors }, attrs),
  ],
  cost: (call) => ({ flops: 3 * elementCount(call.inputs.idsRestore.shape), bytes: bytesOf(call) }),
};

function lossBackwardKernel(
  bindings: { dLoss: Tensor; dErrors: Tensor; weights?: Tensor; idsRestore?: Tensor },
  { error, keep }: LossAttrs,
): Kernel {
  const [b, tokens] = bindings.dErrors.shape;
  return {
    label: "loss backward",
    wgsl: specialize(lossesBackwardWgsl, {
      constants: { SAMPLES: b, TOKENS: tokens, KEEP: keep, WHICH: error === "student" ? 0 : 1 },
      flags: { WEIGHTED: bindings.weights !== undefined },
    }),
    entryPoint: "lossesBackward",
    bindings,
    workgroups: [b, 1, 1],
  };
}
