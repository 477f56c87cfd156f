import convolveWeightsWgsl from "../../shaders/convolve_weights.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, expectActivation, groups } from "./common.js";
import { expectTokens, type Grid, transpose } from "./convolution.js";

/**
 * The gradient of the convolutions' weights: x [B, 1 + rows·columns, D], dy [3, B, 1 +
 * rows·columns, D] → dweight [3, D, 9], the same by taps [9, 3, D], and partial sums [chunks, 9, 3,
 * D].
 */
export const convolveWeightGradientOp: Op<Grid, "x" | "dy"> = {
  name: "convolveWeightGradient",
  outputs({ x, dy }, grid) {
    const { b, tokens, width } = expectTokens(x, grid);
    expectActivation(dy, "dy", [3, b, tokens, width], x);
    return [
      { shape: [3, width, 9], dtype: "f32" },
      { shape: [9, 3, width], dtype: "f32" },
      { shape: [strips(b, grid).chunks, 9, 3, width], dtype: "f32" },
    ];
  },
  kernels({ inputs: { x, dy }, outputs: [dweight, sums, parts], attrs }, target) {
    const [b, , width] = x.shape;
    const { size, chunks } = strips(b, attrs);
    const grid = { ROWS: attrs.rows, COLUMNS: attrs.columns };
    return [
      {
        label: "depthwise conv weight sums",
        wgsl: specialize(convolveWeightsWgsl, {
          constants: { WIDTH: width, ...grid, SAMPLES: b, STRIPS: size, CHUNKS: chunks },
          types: { Act: x.dtype },
        }),
        entryPoint: "weightSums",
        bindings: { x, dy, parts },
        workgroups: [groups((chunks * width) / 4, 64), 3, 1],
      },
      columnSums(target, "depthwise conv dweight", parts, sums, { rows: chunks, stride: 27 * width }),
      transpose("depthwise conv dweight", sums, dweight, 9, 3 * width),
    ];
  },
  cost: (call) => ({ flops: 18 * elementCount(call.inputs.dy.shape), bytes: bytesOf(call) }),
};

/** How the rows of all samples' grids are cut for a reduction. */
function strips(b: number, { rows }: Grid): { size: number; chunks: number } {
  const size = Math.ceil((b * rows) / 512);
  return { size, chunks: groups(b * rows, size) };
}
