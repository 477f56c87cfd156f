import tokenAnomalyWgsl from "../../shaders/token_anomaly.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, dim, expectActivation, expectShape } from "./common.js";

/**
 * The predicted anomaly channel [B, 1 + L, P·P] (−1…1) and the motion gradient [B, H, W] packed →
 * [B, L, 4]: means over the token of the anomaly map (0…1), of the motion (gray, 0…255), of their
 * product, and the largest motion of any channel.
 */
export const tokenAnomalyOp: Op<{ patch: number }, "prediction" | "gradient"> = {
  name: "tokenAnomaly",
  outputs({ prediction, gradient }, { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape;
    const tokens = (h * w) / patch ** 2;
    expectActivation(prediction, "prediction", [b, 1 + tokens, patch * patch]);
    return [{ shape: [b, tokens, 4], dtype: "f32" }];
  },
  kernels({ inputs: { prediction, gradient }, outputs: [maps], attrs: { patch } }) {
    const [b, tokens] = maps.shape;
    return [
      {
        label: "token anomaly",
        wgsl: specialize(tokenAnomalyWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: dim(gradient, 2) / patch,
            TOKENS: tokens,
            PREDICTION_ROWS: dim(prediction, 1),
          },
          types: { Act: prediction.dtype },
        }),
        entryPoint: "tokenAnomaly",
        bindings: { prediction, gradient, maps },
        workgroups: [tokens, b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 10 * elementCount(call.inputs.prediction.shape), bytes: bytesOf(call) }),
};
