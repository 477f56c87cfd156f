import layerNormWeightsWgsl from "../../shaders/layer_norm_weights.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type TensorSpec } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, dim, groups } from "./common.js";
import { expectRows, hasTokenInFront, lanesOf } from "./layer_norm_rows.js";

/** Rows that a workgroup adds up. */
const chunk = 32;

/**
 * The gradients of LayerNorm's weights: x [B, rows, D], dy [B, rows, D] (or [B, 1 + rows, D] with a
 * token in front) → dgamma [D], dbeta [D], partial sums [chunks, 2, D], and with a token in front
 * that token's gradient [D].
 */
export const layerNormWeightGradientOp: Op<{ epsilon: number }, "x" | "dy"> = {
  name: "layerNormWeightGradient",
  outputs({ x, dy }) {
    const [b, rows, width] = expectRows(x);
    const own: TensorSpec = { shape: [width], dtype: "f32" };
    const parts: TensorSpec = { shape: [groups(b * rows, chunk), 2, width], dtype: "f32" };
    return [own, own, parts, ...(hasTokenInFront(dy, x) ? [own] : [])];
  },
  kernels({ inputs: { x, dy }, outputs: [dgamma, dbeta, parts, dtoken], attrs: { epsilon } }, target) {
    const [b, sampleRows, width] = x.shape;
    const lanes = lanesOf(target);
    const size = width > 4 * chunk ? 2 * chunk : chunk;
    const chunks = { rows: dim(parts, 0), stride: 2 * width };
    return [
      {
        label: "layer norm weight sums",
        wgsl: specialize(layerNormWeightsWgsl, {
          constants: {
            WIDTH: width,
            ROWS: b * sampleRows,
            SAMPLE_ROWS: sampleRows,
            FRONT: dim(dy, 1) - sampleRows,
            EPSILON: epsilon,
            CHUNK: chunk,
            LANES: lanes,
            WORKGROUP: size,
            PARTIALS: chunk * lanes,
          },
          types: { Act: x.dtype },
        }),
        entryPoint: "weightSums",
        bindings: { x, dy, parts },
        workgroups: [dim(parts, 0), groups(width / 4, size), 1],
      },
      columnSums(target, "layer norm dgamma", parts, dgamma, chunks),
      columnSums(target, "layer norm dbeta", parts, dbeta, { ...chunks, start: width }),
      ...(dtoken
        ? [columnSums(target, "layer norm dtoken", dy, dtoken, { rows: b, stride: (1 + sampleRows) * width })]
        : []),
    ];
  },
  cost: (call) => ({ flops: 10 * elementCount(call.inputs.x.shape), bytes: bytesOf(call) }),
};
