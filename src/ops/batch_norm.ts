import batchNormWgsl from "../../shaders/batch_norm.wgsl";
import batchNormBackwardWgsl from "../../shaders/batch_norm_backward.wgsl";
import batchNormMomentsWgsl from "../../shaders/batch_norm_moments.wgsl";
import batchNormStatisticsWgsl from "../../shaders/batch_norm_statistics.wgsl";
import batchNormSumsWgsl from "../../shaders/batch_norm_sums.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Kernel, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { columnSums, columnTile } from "./column_sums.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";

/** Tokens of an invocation that normalises. */
const run = 8;

/** How the values of a channel, `rows` of them, are cut for a reduction. */
function chunksOf(rows: number): { size: number; count: number } {
  const size = Math.max(8, Math.ceil(rows / 512));
  return { size, count: groups(rows, size) };
}

/**
 * BatchNorm in training mode of three projections side by side, over samples and tokens but the first of each, which is copied: x [3, B, 1 + T, D],
 * gamma [3, D], beta [3, D], running mean and variance [2, 3, D], a state → y [3, B, 1 + T, D], the batch's mean and 1/√(variance + ε)
 * [3, D, 2], the running statistics (updated in place), moments on the way [chunks, 2, 3, D]. As PyTorch's BatchNorm2d: y by the biased variance,
 * running ← (1 − momentum)·running + momentum·(mean, unbiased variance).
 */
export const batchNormOp: Op<{ epsilon: number; momentum: number }> = {
  name: "batchNorm",
  inPlace: [undefined, undefined, 3],
  outputs([x, gamma, beta, running]) {
    const { width, rows, dtype } = expectProjections(x);
    expect(rows > 1, "a variance needs more than one token");
    expectShape(gamma, "gamma", [3, width]);
    expectShape(beta, "beta", [3, width]);
    const state = expectShape(running, "running statistics", [2, 3, width]);
    const y: TensorSpec = { shape: x?.shape ?? [], dtype };
    const stats: TensorSpec = { shape: [3, width, 2], dtype: "f32" };
    return [y, stats, state, { shape: [chunksOf(rows).count, 2, 3, width], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { epsilon, momentum } }, target): Kernel[] {
    // The running statistics are bound as the input that they are: it knows where in its state it begins.
    const [x, gamma, beta, running] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const [y, stats, , parts] = outputs as [Tensor, Tensor, Tensor, Tensor];
    const { width, samples, tokens, rows } = expectProjections(x);
    const sizes = { WIDTH: width, SAMPLES: samples, TOKENS: tokens };
    const types = { Act: x.dtype };
    const { size, count } = chunksOf(rows);
    const cut = { CHUNK: size, CHUNKS: count };
    const tile = columnTile(target);
    return [
      {
        label: "batch norm moments",
        wgsl: specialize(batchNormMomentsWgsl, { constants: { ...sizes, ...cut }, types }),
        entryPoint: "moments",
        bindings: { x, parts },
        workgroups: [groups((count * width) / 4, 64), 3, 1],
      },
      {
        label: "batch norm statistics",
        wgsl: specialize(batchNormStatisticsWgsl, {
          constants: { WIDTH: width, COUNT: rows, ...cut, EPSILON: epsilon, MOMENTUM: momentum, ...tile.constants },
          flags: tile.flags,
        }),
        entryPoint: "statistics",
        bindings: { parts, stats, running },
        workgroups: [groups((3 * width) / 4, tile.constants.COLUMNS), 1, 1],
      },
      {
        label: "batch norm",
        wgsl: specialize(batchNormWgsl, { constants: { ...sizes, RUN: run }, types }),
        entryPoint: "batchNorm",
        bindings: { x, stats, gamma, beta, y },
        workgroups: [groups((groups(1 + tokens, run) * width) / 4, 64), samples, 3],
      },
    ];
  },
  cost(call) {
    const x = call.inputs[0];
    return { flops: 8 * elementCount(x.shape), bytes: bytesOf(call) + byteSize(x) };
  },
  gradient({ inputs, outputs }, [dy], graph) {
    const [x, gamma] = inputs as [Tensor, Tensor];
    const stats = outputs[1];
    return graph.apply(batchNormBackwardOp, [x, stats, gamma, dy as Tensor], {}).slice(0, 3);
  },
};

/**
 * BatchNorm's gradient: x [3, B, 1 + T, D], the batch's mean and 1/deviation [3, D, 2], gamma [3, D], dy [3, B, 1 + T, D] →
 * dx [3, B, 1 + T, D], dgamma [3, D], dbeta [3, D], sums on the way [chunks, 2, 3, D].
 */
export const batchNormBackwardOp: Op<Record<string, never>> = {
  name: "batchNormBackward",
  outputs([x, stats, gamma, dy]) {
    const { width, rows, dtype } = expectProjections(x);
    expectShape(stats, "statistics", [3, width, 2]);
    expectShape(gamma, "gamma", [3, width]);
    expectActivation(dy, "dy", x?.shape ?? [], x);
    const dx: TensorSpec = { shape: x?.shape ?? [], dtype };
    const own: TensorSpec = { shape: [3, width], dtype: "f32" };
    return [dx, own, own, { shape: [chunksOf(rows).count, 2, 3, width], dtype: "f32" }];
  },
  kernels({ inputs, outputs }, target) {
    const [x, stats, gamma, dy] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const [dx, dgamma, dbeta, parts] = outputs as [Tensor, Tensor, Tensor, Tensor];
    const { width, samples, tokens, rows } = expectProjections(x);
    const sizes = { WIDTH: width, SAMPLES: samples, TOKENS: tokens };
    const types = { Act: x.dtype };
    const { size, count } = chunksOf(rows);
    const chunks = { rows: count, stride: 6 * width };
    return [
      {
        label: "batch norm weight sums",
        wgsl: specialize(batchNormSumsWgsl, { constants: { ...sizes, CHUNK: size, CHUNKS: count }, types }),
        entryPoint: "weightSums",
        bindings: { x, stats, dy, parts },
        workgroups: [groups((count * width) / 4, 64), 3, 1],
      },
      columnSums(target, "batch norm dgamma", parts, dgamma, chunks),
      columnSums(target, "batch norm dbeta", parts, dbeta, { ...chunks, start: 3 * width }),
      {
        label: "batch norm backward",
        wgsl: specialize(batchNormBackwardWgsl, { constants: { ...sizes, RUN: run }, types }),
        entryPoint: "batchNormBackward",
        bindings: { x, stats, gamma, dy, dgamma, dbeta, dx },
        workgroups: [groups((groups(1 + tokens, run) * width) / 4, 64), samples, 3],
      },
    ];
  },
  cost(call) {
    const x = call.inputs[0];
    return { flops: 10 * elementCount(x.shape), bytes: bytesOf(call) + 2 * byteSize(x) };
  },
};

/** The sizes of x [3, B, 1 + T, D], how many values a channel has, and their type. */
function expectProjections(x: TensorSpec | undefined) {
  const { dtype } = expectActivation(x, "x", [3, -1, -1, -1]);
  const [samples, tokens, width] = [dim(x, 1), dim(x, 2) - 1, dim(x, 3)];
  expect(width % 4 === 0, `width ${width} is no multiple of 4`);
  return { samples, tokens, width, rows: samples * tokens, dtype };
}
