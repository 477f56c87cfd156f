// Mixed precision's loss scale, which lives on the GPU, so that no step waits for the host.
import updateScalerWgsl from "../../shaders/update_scaler.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape } from "./common.js";

/**
 * Words of a loss scaler's state: the scale, good steps in a row, and 1 − β1^t and 1 − β2^t, where
 * t counts the optimiser's steps that were made.
 */
export const scalerWords = 4;

/**
 * A step of dynamic loss scaling: scaler [4] (a state), found [parts] by {@link nonFiniteOp},
 * AdamW's numbers [8] for tensors with weight decay and for those without → the scaler (updated in
 * place), and both numbers as AdamW takes them: corrected for the steps that were made, and with a
 * gradient scale that undoes the loss's, or is 0 if gradients overflowed.
 */
export const updateScalerOp: Op<{ interval: number }, "scaler" | "found" | "decays" | "plain"> = {
  name: "updateScaler",
  inPlace: ["scaler"],
  outputs({ scaler, found, decays, plain }) {
    expectShape(found, "found", [-1]);
    return [
      expectShape(scaler, "scaler", [scalerWords]),
      expectShape(decays, "decays", [8]),
      expectShape(plain, "plain", [8]),
    ];
  },
  kernels({ inputs: { scaler, found, decays, plain }, outputs: [, scaledDecays, scaledPlain], attrs: { interval } }) {
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
