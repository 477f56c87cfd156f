import layerNormWgsl from "../../shaders/layer_norm.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor } from "../graph/graph.js";
import { dim, elementwiseCost, expect, expectShape, groups } from "./common.js";

/** Invocations that share a row on a GPU; a software adapter gives a row to one, which needs no barrier. */
const lanesOnGpu = 16;
const workgroup = 64;

/**
 * LayerNorm over the last dimension: x [B, rows, D], gamma [D], beta [D] → [B, rows, D]. With a fourth input, a token [D], the
 * result is [B, 1 + rows, D] with that token in front, as it is.
 */
export const layerNormOp: Op<{ epsilon: number }> = {
  name: "layerNorm",
  outputs([x, gamma, beta, token]) {
    const [b, rows, width] = expectShape(x, "x", [-1, -1, -1]).shape as [number, number, number];
    expect(width % 4 === 0, `width ${width} is no multiple of 4`);
    expectShape(gamma, "gamma", [width]);
    expectShape(beta, "beta", [width]);
    if (token) expectShape(token, "token", [width]);
    return [{ shape: [b, rows + (token ? 1 : 0), width], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { epsilon } }, target) {
    const [x, gamma, beta, token] = inputs as [Tensor, Tensor, Tensor, Tensor?];
    const y = outputs[0] as Tensor;
    const width = dim(x, 2);
    const rows = elementCount(x.shape) / width;
    const lanes = target.adapter.kind === "gpu" ? lanesOnGpu : 1;
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
          },
          flags: { PREPEND: token !== undefined, SHARED: lanes > 1 },
        }),
        entryPoint: "normalize",
        bindings: { x, gamma, beta, y, ...(token && { token }) },
        workgroups: [groups(rows, workgroup / lanes), 1, 1],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 8),
};
