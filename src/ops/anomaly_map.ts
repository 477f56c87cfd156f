import anomalyMapWgsl from "../../shaders/anomaly_map.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { dim, elementwiseCost, expect, expectActivation, groups } from "./common.js";

/** The predicted anomaly channel [B, 1 + L, P·P] (−1…1) as an image [B, H, W], 0…1. */
export const anomalyMapOp: Op<{ patch: number; height: number; width: number }, "prediction"> = {
  name: "anomalyMap",
  outputs({ prediction }, { patch, height, width }) {
    expect(height % patch === 0 && width % patch === 0, `size ${height}x${width} is not a multiple of ${patch}`);
    expectActivation(prediction, "prediction", [-1, 1 + (height * width) / patch ** 2, patch * patch]);
    return [{ shape: [dim(prediction, 0), height, width], dtype: "f32" }];
  },
  kernels({ inputs: { prediction }, outputs: [map], attrs: { patch, height, width } }) {
    return [
      {
        label: "anomaly map",
        wgsl: specialize(anomalyMapWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: width / patch,
            TOKENS: (height * width) / patch ** 2,
            PREDICTION_ROWS: dim(prediction, 1),
          },
          types: { Act: prediction.dtype },
        }),
        entryPoint: "layOut",
        bindings: { prediction, map },
        workgroups: [groups(width, 64), height, dim(prediction, 0)],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 2),
};
