import unshuffleBackwardWgsl from "../../shaders/unshuffle_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";

/** Tokens that an invocation goes through. */
const run = 16;

/**
 * The gradient of unshuffling: dy [B, 1 + L, D], idsRestore [B, L] → dx [B, 1 + keep, D], the mask
 * token's gradient [D] (the sum over removed tokens), and sums of runs of tokens [B, runs, D].
 */
export const unshuffleBackwardOp: Op<{ keep: number }, "dy" | "idsRestore"> = {
  name: "unshuffleBackward",
  outputs({ dy, idsRestore }, { keep }) {
    const [b, tokens] = expectShape(idsRestore, "idsRestore", [-1, -1]).shape;
    const { shape, dtype } = expectActivation(dy, "dy", [b, 1 + tokens, -1]);
    const width = shape[2];
    expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
    expect(keep <= tokens, `${keep} tokens cannot be kept of ${tokens}`);
    return [
      { shape: [b, 1 + keep, width], dtype },
      { shape: [width], dtype: "f32" },
      { shape: [b, groups(tokens, run), width], dtype: "f32" },
    ];
  },
  kernels({ inputs: { dy, idsRestore }, outputs: [dx, dMaskToken, partial], attrs: { keep } }, target) {
    const [b, runs, width] = partial.shape;
    return [
      {
        label: "unshuffle backward",
        wgsl: specialize(unshuffleBackwardWgsl, {
          constants: { WIDTH: width, TOKENS: dim(idsRestore, 1), KEEP: keep, RUN: run, RUNS: runs },
          types: { Act: dy.dtype },
        }),
        entryPoint: "unshuffleBackward",
        bindings: { dy, idsRestore, dx, partial },
        workgroups: [groups((runs * width) / 4, 64), b, 1],
      },
      columnSums(target, "mask token gradient", partial, dMaskToken, { rows: b * runs, stride: width }),
    ];
  },
  cost: (call) => ({ flops: elementCount(call.inputs.dy.shape), bytes: bytesOf(call) }),
};
