import layerNormWgsl from "../../shaders/layer_norm.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { dim, elementwiseCost, expectShape, groups } from "./common.js";
import { layerNormBackwardOp } from "./layer_norm_backward.js";
import { expectRows, lanesOf, workgroup as usualWorkgroup } from "./layer_norm_rows.js";
import { layerNormWeightGradientOp } from "./layer_norm_weight_gradient.js";
import { subgroupLanes, wideLanes } from "./variants.js";

/**
 * LayerNorm over the last dimension: x [B, rows, D], gamma [D], beta [D] → [B, rows, D]. With a
 * token [D], the result is [B, 1 + rows, D] with a copy of that token in front.
 */
export const layerNormOp: Op<{ epsilon: number }, "x" | "gamma" | "beta", "token"> = {
  name: "layerNorm",
  outputs({ x, gamma, beta, token }) {
    const [b, rows, width, dtype] = expectRows(x);
    expectShape(gamma, "gamma", [width]);
    expectShape(beta, "beta", [width]);
    if (token) expectShape(token, "token", [width]);
    return [{ shape: [b, rows + (token ? 1 : 0), width], dtype }];
  },
  kernels({ inputs: { x, gamma, beta, token }, outputs: [y], attrs: { epsilon } }, target) {
    const width = dim(x, 2);
    const rows = elementCount(x.shape) / width;
    const lanes = lanesOf(target);
    const isHeld = subgroupLanes(target) === wideLanes && width <= 256;
    const workgroup = isHeld ? wideLanes : usualWorkgroup;
    return [
      {
        label: "layer norm",
        wgsl: specialize(layerNormWgsl, {
          constants: {
            WIDTH: width,
            ROWS: rows,
            SAMPLE_ROWS: dim(x, 1),
            EPSILON: epsilon,
            LANES: lanes,
            WORKGROUP: workgroup,
            VECTORS: width / 4,
          },
          types: { Act: x.dtype },
          flags: { PREPEND: token !== undefined, SHARED: lanes > 1, HELD: isHeld },
        }),
        entryPoint: "normalize",
        bindings: { x, gamma, beta, y, token },
        workgroups: [groups(rows, workgroup / lanes), 1, 1],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 8),
  gradient({ inputs: { x, gamma }, attrs }, dy, graph, needed) {
    const ofWeights = needed.gamma || needed.beta || needed.token;
    const [dgamma, dbeta, , dtoken] = ofWeights ? graph.apply(layerNormWeightGradientOp, { x, dy }, attrs) : [];
    const [dx] = needed.x ? graph.apply(layerNormBackwardOp, { x, gamma, dy }, attrs) : [];
    return { x: dx, gamma: dgamma, beta: dbeta, token: dtoken };
  },
};
