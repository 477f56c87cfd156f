import lossWeightsWgsl from "../../shaders/loss_weights.wgsl";
import lossesWgsl from "../../shaders/losses.wgsl";
import lossesBackwardWgsl from "../../shaders/losses_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups, sampleWords } from "./common.js";

/**
 * Weights of the gradient-weighted loss, before they are divided by their sum (METHOD §3): motion gradient [B, H, W] packed,
 * each token's largest motion [B, L], targets [slots, H, W] packed with the mask, samples → [B, L].
 */
export const lossWeightsOp: Op<{ patch: number }> = {
  name: "lossWeights",
  outputs([gradient, motion, targets, samples], { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape as [number, number, number];
    expectShape(motion, "motion", [b, (h * w) / patch ** 2]);
    expectShape(targets, "targets", [-1, h, w]);
    expectShape(samples, "samples", [b, sampleWords]);
    return [{ shape: [b, (h * w) / patch ** 2], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { patch } }) {
    const [gradient, motion, targets, samples] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const [b, tokens] = motion.shape as [number, number];
    return [
      {
        label: "loss weights",
        wgsl: specialize(lossWeightsWgsl, {
          constants: { PATCH: patch, GRID_WIDTH: dim(gradient, 2) / patch, TOKENS: tokens },
        }),
        entryPoint: "lossWeights",
        bindings: { gradient, motion, targets, samples, weights: outputs[0] },
        workgroups: [groups(tokens, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 4 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};

interface LossAttrs {
  /** Which error: of teacher against student, or of target against teacher. */
  error: "student" | "target";
  keep: number;
}

function lossKernel(tensors: Record<string, Tensor>, attrs: LossAttrs) {
  const errors = tensors.errors;
  return {
    label: "loss",
    wgsl: specialize(lossesWgsl, {
      constants: {
        SAMPLES: dim(errors, 0),
        TOKENS: dim(errors, 1),
        KEEP: attrs.keep,
        WHICH: attrs.error === "student" ? 0 : 1,
      },
      flags: { WEIGHTED: "weights" in tensors },
    }),
    entryPoint: "losses",
    bindings: tensors,
    workgroups: [1, 1, 1] as const,
  };
}

/** Σ over tokens and samples of error × weight, weights [B, L] divided by their sum in each sample: errors [B, L, 2] → [1]. */
export const weightedLossOp: Op<LossAttrs> = {
  name: "weightedLoss",
  outputs([errors, weights]) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape as [number, number];
    expectShape(weights, "weights", [b, tokens]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs }) {
    const [errors, weights] = inputs as [Tensor, Tensor];
    return [lossKernel({ errors, weights, loss: outputs[0] }, attrs)];
  },
  cost: (call) => ({ flops: elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
  gradient: ({ inputs: [, weights], attrs }, [dLoss], graph) =>
    graph.apply(weightedLossBackwardOp, [weights, dLoss] as [Tensor, Tensor], attrs),
};

/** Mean error over the removed tokens of the whole batch: errors [B, L, 2], idsRestore [B, L] → [1]. */
export const maskedLossOp: Op<LossAttrs> = {
  name: "maskedLoss",
  outputs([errors, idsRestore]) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape as [number, number];
    expectShape(idsRestore, "idsRestore", [b, tokens]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs }) {
    const [errors, idsRestore] = inputs as [Tensor, Tensor];
    return [lossKernel({ errors, idsRestore, loss: outputs[0] }, attrs)];
  },
  cost: (call) => ({ flops: elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
  gradient: ({ inputs: [, idsRestore], attrs }, [dLoss], graph) =>
    graph.apply(maskedLossBackwardOp, [idsRestore, dLoss] as [Tensor, Tensor], attrs),
};

function lossBackwardOp(name: string, binding: "weights" | "idsRestore"): Op<LossAttrs> {
  return {
    name,
    outputs([perToken, dLoss]) {
      const [b, tokens] = expectShape(perToken, binding, [-1, -1]).shape as [number, number];
      expectShape(dLoss, "dLoss", [1]);
      return [{ shape: [b, tokens, 2], dtype: "f32" }];
    },
    kernels({ inputs, outputs, attrs: { error, keep } }) {
      const [perToken, dLoss] = inputs as [Tensor, Tensor];
      const [b, tokens] = perToken.shape as [number, number];
      return [
        {
          label: "loss backward",
          wgsl: specialize(lossesBackwardWgsl, {
            constants: { SAMPLES: b, TOKENS: tokens, KEEP: keep, WHICH: error === "student" ? 0 : 1 },
            flags: { WEIGHTED: binding === "weights" },
          }),
          entryPoint: "lossesBackward",
          bindings: { [binding]: perToken, dLoss, dErrors: outputs[0] },
          workgroups: [b, 1, 1],
        },
      ];
    },
    cost: (call) => ({ flops: 3 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
  };
}

/** The gradient of {@link weightedLossOp} with respect to the errors: weights [B, L], dLoss [1] → [B, L, 2]. */
export const weightedLossBackwardOp = lossBackwardOp("weightedLossBackward", "weights");

/** The gradient of {@link maskedLossOp} with respect to the errors: idsRestore [B, L], dLoss [1] → [B, L, 2]. */
export const maskedLossBackwardOp = lossBackwardOp("maskedLossBackward", "idsRestore");
