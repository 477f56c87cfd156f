import nonFiniteWgsl from "../../shaders/non_finite.wgsl";
import scaleLossWgsl from "../../shaders/scale_loss.wgsl";
import updateScalerWgsl from "../../shaders/update_scaler.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op, Tensor } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups } from "./common.js";

/**
 * Words of a loss scaler's state: the scale, good steps in a row, and of the optimiser's steps that were made what their moments lack, 1 − β1^t and
 * 1 − β2^t.
 */
export const scalerWords = 4;

/** The gradient that differentiation starts from: the loss's share [1] times the scale of a scaler [4] → [1]. */
export const scaleLossOp: Op<Record<string, never>> = {
  name: "scaleLoss",
  outputs([share, scaler]) {
    expectShape(share, "share", [1]);
    expectShape(scaler, "scaler", [scalerWords]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels({ inputs, outputs }) {
    const [share, scaler] = inputs as [Tensor, Tensor];
    return [
      {
        label: "scale loss",
        wgsl: scaleLossWgsl,
        entryPoint: "scaleLoss",
        bindings: { share, scaler, seed: outputs[0] },
        workgroups: [1, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 1, bytes: bytesOf(call) }),
};

/** Whether any of the gradients [n] is not finite: [parts] u32, 1 for each part of them that has one. */
export const nonFiniteOp: Op<Record<string, never>> = {
  name: "nonFinite",
  outputs([gradients]) {
    const n = dim(expectShape(gradients, "gradients", [-1]), 0);
    return [{ shape: [Math.min(256, groups(n, 256))], dtype: "u32" }];
  },
  kernels({ inputs, outputs }) {
    const [gradients, found] = [inputs[0], outputs[0]];
    const parts = dim(found, 0);
    return [
      {
        label: "non-finite",
        wgsl: specialize(nonFiniteWgsl, { constants: { COUNT: dim(gradients, 0), STRIDE: 256 * parts } }),
        entryPoint: "nonFinite",
        bindings: { gradients, found },
        workgroups: [parts, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};

/**
 * A step of dynamic loss scaling: scaler [4], a state, what {@link nonFiniteOp} found [parts], AdamW's numbers [8] of tensors with weight decay and of
 * those without → the scaler (updated in place), and both numbers as AdamW is to take them: corrected for the steps that were made, and with a
 * gradient scale that undoes the loss's, or is 0 where gradients overflowed.
 */
export const updateScalerOp: Op<{ interval: number }> = {
  name: "updateScaler",
  inPlace: [0],
  outputs([scaler, found, decays, plain]) {
    expectShape(found, "found", [-1]);
    return [
      expectShape(scaler, "scaler", [scalerWords]),
      expectShape(decays, "decays", [8]),
      expectShape(plain, "plain", [8]),
    ];
  },
  kernels({ inputs, outputs, attrs: { interval } }) {
    const [scaler, found, decays, plain] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const [, scaledDecays, scaledPlain] = outputs as [Tensor, Tensor, Tensor];
    return [
      {
        label: "update scaler",
        wgsl: specialize(updateScalerWgsl, { constants: { FOUND: dim(found, 0), INTERVAL: interval } }),
        entryPoint: "updateScaler",
        bindings: { scaler, found, decays, plain, scaledDecays, scaledPlain },
        workgroups: [1, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 20, bytes: bytesOf(call) }),
};
