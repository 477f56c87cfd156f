// The losses of training, made of token errors.
import lossesWgsl from "../../shaders/losses.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, expectShape } from "./common.js";
import { type LossAttrs, maskedLossBackwardOp, weightedLossBackwardOp } from "./losses_backward.js";

/**
 * Σ over tokens and samples of error × weight, weights [B, L] divided by their sum in each sample:
 * errors [B, L, 2] → [1].
 */
export const weightedLossOp: Op<LossAttrs, "errors" | "weights"> = {
  name: "weightedLoss",
  outputs({ errors, weights }) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape;
    expectShape(weights, "weights", [b, tokens]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels: ({ inputs: { errors, weights }, outputs: [loss], attrs }) => [lossKernel({ errors, weights, loss }, attrs)],
  cost: (call) => ({ flops: elementCount(call.inputs.errors.shape), bytes: bytesOf(call) }),
  gradient({ inputs: { weights }, attrs }, dLoss, graph) {
    return { errors: graph.apply(weightedLossBackwardOp, { weights, dLoss }, attrs)[0] };
  },
};

/**
 * Mean error over the removed tokens of the whole batch: errors [B, L, 2], idsRestore [B, L] → [1].
 */
export const maskedLossOp: Op<LossAttrs, "errors" | "idsRestore"> = {
  name: "maskedLoss",
  outputs({ errors, idsRestore }) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape;
    expectShape(idsRestore, "idsRestore", [b, tokens]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels: ({ inputs: { errors, idsRestore }, outputs: [loss], attrs }) => [
    lossKernel({ errors, idsRestore, loss }, attrs),
  ],
  cost: (call) => ({ flops: elementCount(call.inputs.errors.shape), bytes: bytesOf(call) }),
  gradient({ inputs: { idsRestore }, attrs }, dLoss, graph) {
    return { errors: graph.apply(maskedLossBackwardOp, { idsRestore, dLoss }, attrs)[0] };
  },
};

function lossKernel(
  bindings: { errors: Tensor; loss: Tensor; weights?: Tensor; idsRestore?: Tensor },
  { error, keep }: LossAttrs,
): Kernel {
  const [b, tokens] = bindings.errors.shape;
  return {
    label: "loss",
    wgsl: specialize(lossesWgsl, {
      constants: { SAMPLES: b, TOKENS: tokens, KEEP: keep, WHICH: error === "student" ? 0 : 1 },
      flags: { WEIGHTED: bindings.weights !== undefined },
    }),
    entryPoint: "losses",
    bindings,
    workgroups: [1, 1, 1],
  };
}
