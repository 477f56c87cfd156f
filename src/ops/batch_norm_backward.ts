import batchNormBackwardWgsl from "../../shaders/batch_norm_backward.wgsl";
import batchNormSumsWgsl from "../../shaders/batch_norm_sums.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type NoAttrs, type Op } from "../graph/graph.js";
import { chunksOf, expectProjections, run } from "./batch_norm_sizes.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, expectActivation, expectShape, groups } from "./common.js";

/**
 * BatchNorm's gradient: x [3, B, 1 + T, D], the batch's mean and 1/deviation [3, D, 2], gamma [3,
 * D], dy [3, B, 1 + T, D] → dx [3, B, 1 + T, D], dgamma [3, D], dbeta [3, D], and partial sums
 * [chunks, 2, 3, D].
 */
export const batchNormBackwardOp: Op<NoAttrs, "x" | "stats" | "gamma" | "dy"> = {
  name: "batchNormBackward",
  outputs({ x, stats, gamma, dy }) {
    const { width, rows, dtype } = expectProjections(x);
    expectShape(stats, "statistics", [3, width, 2]);
    expectShape(gamma, "gamma", [3, width]);
    expectActivation(dy, "dy", x.shape, x);
    return [
      { shape: x.shape, dtype },
      { shape: [3, width], dtype: "f32" },
      { shape: [3, width], dtype: "f32" },
      { shape: [chunksOf(rows).count, 2, 3, width], dtype: "f32" },
    ];
  },
  kernels({ inputs: { x, stats, gamma, dy }, outputs: [dx, dgamma, dbeta, parts] }, target) {
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
    const { x } = call.inputs;
    return { flops: 10 * elementCount(x.shape), bytes: bytesOf(call) + 2 * byteSize(x) };
  },
};
