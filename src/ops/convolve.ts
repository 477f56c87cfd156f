import convolveBackwardWgsl from "../../shaders/convolve_backward.wgsl";
import convolveWeightsWgsl from "../../shaders/convolve_weights.wgsl";
import depthwiseConvWgsl from "../../shaders/depthwise_conv.wgsl";
import transposeWgsl from "../../shaders/transpose.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";
import { convolutionRun } from "./variants.js";

/** The grid of a sample's tokens but the first. */
interface Grid {
  rows: number;
  columns: number;
}

/**
 * The three convolutions of a block's projections in training: x [B, 1 + rows·columns, D], weight [3, D, 9], which is PyTorch's `conv.weight`
 * of q, k and v → [3, B, 1 + rows·columns, D], and the weight by taps [9, 3, D]. Depthwise 3×3, padding 1, no bias; the first token is copied.
 */
export const convolveOp: Op<Grid> = {
  name: "convolve",
  outputs([x, weight], grid) {
    const { b, tokens, width, dtype } = expectTokens(x, grid);
    expectShape(weight, "weight", [3, width, 9]);
    return [
      { shape: [3, b, tokens, width], dtype },
      { shape: [9, 3, width], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const [qkv, taps] = outputs as [Tensor, Tensor];
    const { constants, workgroups } = runs(target, x, attrs);
    return [
      transpose("conv taps", weight, taps, 3 * dim(x, 2), 9),
      {
        label: "depthwise conv",
        wgsl: specialize(depthwiseConvWgsl, { constants, types: { Act: x.dtype }, flags: { UNBIASED: true } }),
        entryPoint: "convolve",
        bindings: { x, weight: taps, qkv },
        workgroups,
      },
    ];
  },
  cost: (call) => ({ flops: 18 * elementCount(call.outputs[0]?.shape ?? []), bytes: bytesOf(call) }),
  gradient({ inputs, outputs, attrs }, [dy], graph, needed) {
    const x = inputs[0];
    const taps = outputs[1];
    return [
      needed[0] ? graph.apply(convolveBackwardOp, [dy as Tensor, taps], attrs)[0] : undefined,
      needed[1] ? graph.apply(convolveWeightGradientOp, [x, dy as Tensor], attrs)[0] : undefined,
    ];
  },
};

/** The convolutions' gradient: dy [3, B, 1 + rows·columns, D], weight by taps [9, 3, D] → dx [B, 1 + rows·columns, D]. */
export const convolveBackwardOp: Op<Grid> = {
  name: "convolveBackward",
  outputs([dy, taps], grid) {
    const { b, tokens, width, dtype } = expectProjections(dy, grid);
    expectShape(taps, "taps", [9, 3, width]);
    return [{ shape: [b, tokens, width], dtype }];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [dy, taps] = inputs as [Tensor, Tensor];
    const dx = outputs[0];
    const { constants, workgroups } = runs(target, dx, attrs);
    return [
      {
        label: "depthwise conv backward",
        wgsl: specialize(convolveBackwardWgsl, { constants, types: { Act: dy.dtype } }),
        entryPoint: "convolveBackward",
        bindings: { dy, taps, dx },
        workgroups,
      },
    ];
  },
  cost: (call) => ({ flops: 18 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};

/**
 * The gradient of the convolutions' weights: x [B, 1 + rows·columns, D], dy [3, B, 1 + rows·columns, D] → dweight [3, D, 9], the same by
 * taps [9, 3, D], sums on the way [chunks, 9, 3, D].
 */
export const convolveWeightGradientOp: Op<Grid> = {
  name: "convolveWeightGradient",
  outputs([x, dy], grid) {
    const { b, tokens, width } = expectTokens(x, grid);
    expectActivation(dy, "dy", [3, b, tokens, width], x);
    const sums: TensorSpec = { shape: [9, 3, width], dtype: "f32" };
    const parts: TensorSpec = { shape: [strips(b, grid).chunks, 9, 3, width], dtype: "f32" };
    return [{ shape: [3, width, 9], dtype: "f32" }, sums, parts];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [x, dy] = inputs as [Tensor, Tensor];
    const [dweight, sums, parts] = outputs as [Tensor, Tensor, Tensor];
    const [b, , width] = x.shape as [number, number, number];
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
  cost: (call) => ({ flops: 18 * elementCount(call.inputs[1]?.shape ?? []), bytes: bytesOf(call) }),
};

/** What the kernels that make runs of tokens one below the other are specialised by; x is [B, 1 + rows·columns, D]. */
function runs(target: Target, x: Tensor, { rows, columns }: Grid) {
  const [b, , width] = x.shape as [number, number, number];
  const run = convolutionRun(target, rows);
  const workgroups: Kernel["workgroups"] = [groups((columns * width) / 4, 64), groups(rows, run), b];
  const grid = { ROWS: rows, COLUMNS: columns };
  return { constants: { WIDTH: width, ...grid, SAMPLES: b, RUN: run, RUN_AND_BORDER: run + 2 }, workgroups };
}

/** How the rows of all samples' grids are cut for a reduction. */
function strips(b: number, { rows }: Grid): { size: number; chunks: number } {
  const size = Math.ceil((b * rows) / 512);
  return { size, chunks: groups(b * rows, size) };
}

function transpose(label: string, x: Tensor, y: Tensor, rows: number, columns: number): Kernel {
  return {
    label: `${label} transposed`,
    wgsl: specialize(transposeWgsl, { constants: { ROWS: rows, COLUMNS: columns } }),
    entryPoint: "transposed",
    bindings: { x, y },
    workgroups: [groups(rows * columns, 64), 1, 1],
  };
}

function expectTokens(x: TensorSpec | undefined, { rows, columns }: Grid) {
  const { shape, dtype } = expectActivation(x, "x", [-1, 1 + rows * columns, -1]);
  const [b, tokens, width] = shape as [number, number, number];
  expect(width % 4 === 0, `width ${width} is no multiple of 4`);
  return { b, tokens, width, dtype };
}

function expectProjections(dy: TensorSpec | undefined, { rows, columns }: Grid) {
  const tokens = 1 + rows * columns;
  const { dtype } = expectActivation(dy, "dy", [3, -1, tokens, -1]);
  const [b, width] = [dim(dy, 1), dim(dy, 3)];
  expect(width % 4 === 0, `width ${width} is no multiple of 4`);
  return { b, tokens, width, dtype };
}
