import batchNormWgsl from "../../shaders/batch_norm.wgsl";
import batchNormMomentsWgsl from "../../shaders/batch_norm_moments.wgsl";
import batchNormStatisticsWgsl from "../../shaders/batch_norm_statistics.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Op } from "../graph/graph.js";
import { batchNormBackwardOp } from "./batch_norm_backward.js";
import { chunksOf, expectProjections, run } from "./batch_norm_sizes.js";
import { columnTile } from "./column_sums.js";
import { bytesOf, expect, expectShape, groups } from "./common.js";

/**
 * BatchNorm in training mode of three projections side by side. It normalises over samples and all
 * tokens but the first, which is copied: x [3, B, 1 + T, D], gamma [3, D], beta [3, D], running
 * mean and variance [2, 3, D] (a state) → y [3, B, 1 + T, D], the batch's mean and 1/√(variance +
 * ε) [3, D, 2], the running statistics (updated in place), and partial moments [chunks, 2, 3, D].
 * As PyTorch's BatchNorm2d: y by the biased variance, running ← (1 − momentum)·running +
 * momentum·(mean, unbiased variance).
 */
export const batchNormOp: Op<{ epsilon: number; momentum: number }, "x" | "gamma" | "beta" | "running"> = {
  name: "batchNorm",
  inPlace: [undefined, undefined, "running"],
  outputs({ x, gamma, beta, running }) {
    const { width, rows, dtype } = expectProjections(x);
    expect(rows > 1, "a variance needs more than one token");
    expectShape(gamma, "gamma", [3, width]);
    expectShape(beta, "beta", [3, width]);
    return [
      { shape: x.shape, dtype },
      { shape: [3, width, 2], dtype: "f32" },
      expectShape(running, "running statistics", [2, 3, width]),
      { shape: [chunksOf(rows).count, 2, 3, width], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs: [y, stats, , parts], attrs: { epsilon, momentum } }, target) {
    // The running statistics are bound as an input: that tensor knows where in its state it begins.
    const { x, gamma, beta, running } = inputs;
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
    const { x } = call.inputs;
    return { flops: 8 * elementCount(x.shape), bytes: bytesOf(call) + byteSize(x) };
  },
  gradient({ inputs: { x, gamma }, outputs: [, stats] }, dy, graph) {
    const [dx, dgamma, dbeta] = graph.apply(batchNormBackwardOp, { x, stats, gamma, dy }, {});
    return { x: dx, gamma: dgamma, beta: dbeta };
  },
};
