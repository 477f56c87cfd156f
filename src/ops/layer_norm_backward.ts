import layerNormBackwardWgsl from "../../shaders/layer_norm_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { dim, elementwiseCost, expectShape, groups } from "./common.js";
import { expectRows, hasTokenInFront, lanesOf, workgroup } from "./layer_norm_rows.js";

/**
 * LayerNorm's gradient: x [B, rows, D], gamma [D], dy [B, rows, D] (or [B, 1 + rows, D] with a
 * token in front) → dx [B, rows, D].
 */
export const layerNormBackwardOp: Op<{ epsilon: number }, "x" | "gamma" | "dy"> = {
  name: "layerNormBackward",
  outputs({ x, gamma, dy }) {
    const [b, rows, width, dtype] = expectRows(x);
    expectShape(gamma, "gamma", [width]);
    hasTokenInFront(dy, x);
    return [{ shape: [b, rows, width], dtype }];
  },
  kernels({ inputs: { x, gamma, dy }, outputs: [dx], attrs: { epsilon } }, target) {
    const width = dim(x, 2);
    const rows = elementCount(x.shape) / width;
    const lanes = lanesOf(target);
    return [
      {
        label: "layer norm backward",
        wgsl: specialize(layerNormBackwardWgsl, {
          constants: {
            WIDTH: width,
            ROWS: rows,
            SAMPLE_ROWS: dim(x, 1),
            FRONT: dim(dy, 1) - dim(x, 1),
            EPSILON: epsilon,
            LANES: lanes,
            WORKGROUP: workgroup,
          },
          types: { Act: x.dtype },
          flags: { SHARED: lanes > 1 },
        }),
        entryPoint: "layerNormBackward",
        bindings: { x, gamma, dy, dx },
        workgroups: [groups(rows, workgroup / lanes), 1, 1],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 16),
};
