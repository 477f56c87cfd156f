import lossWeightsWgsl from "../../shaders/loss_weights.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups, sampleWords } from "./common.js";

/**
 * Weights of the gradient-weighted loss, before they are divided by their sum (docs/method.md §3):
 * motion gradient [B, H, W] packed, each token's largest motion [B, L], targets [slots, H, W]
 * packed with the mask, samples → [B, L]. `least` is the least weight of a token, in grey levels.
 */
export const lossWeightsOp: Op<{ patch: number; least?: number }, "gradient" | "motion" | "targets" | "samples"> = {
  name: "lossWeights",
  outputs({ gradient, motion, targets, samples }, { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape;
    expectShape(motion, "motion", [b, (h * w) / patch ** 2]);
    expectShape(targets, "targets", [-1, h, w]);
    expectShape(samples, "samples", [b, sampleWords]);
    return [{ shape: [b, (h * w) / patch ** 2], dtype: "f32" }];
  },
  kernels({ inputs, outputs: [weights], attrs: { patch, least = 0 } }) {
    const { gradient, motion, targets, samples } = inputs;
    const [b, tokens] = motion.shape;
    return [
      {
        label: "loss weights",
        wgsl: specialize(lossWeightsWgsl, {
          constants: { PATCH: patch, GRID_WIDTH: dim(gradient, 2) / patch, TOKENS: tokens, LEAST: least },
        }),
        entryPoint: "lossWeights",
        bindings: { gradient, motion, targets, samples, weights },
        workgroups: [groups(tokens, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 4 * elementCount(call.inputs.gradient.shape), bytes: bytesOf(call) }),
};
