import scaleLossWgsl from "../../shaders/scale_loss.wgsl";
import type { NoAttrs, Op } from "../graph/graph.js";
import { bytesOf, expectShape } from "./common.js";
import { scalerWords } from "./update_scaler.js";

/**
 * The gradient that differentiation starts from: the loss's share [1] times the scale of a scaler
 * [4] → [1].
 */
export const scaleLossOp: Op<NoAttrs, "share" | "scaler"> = {
  name: "scaleLoss",
  outputs({ share, scaler }) {
    expectShape(share, "share", [1]);
    expectShape(scaler, "scaler", [scalerWords]);
    return [{ shape: [1], dtype: "f32" }];
  },
  kernels({ inputs: { share, scaler }, outputs: [seed] }) {
    return [
      {
        label: "scale loss",
        wgsl: scaleLossWgsl,
        entryPoint: "scaleLoss",
        bindings: { share, scaler, seed },
        workgroups: [1, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 1, bytes: bytesOf(call) }),
};
