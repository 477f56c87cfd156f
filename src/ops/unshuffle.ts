import unshuffleWgsl from "../../shaders/unshuffle.wgsl";
import unshuffleBackwardWgsl from "../../shaders/unshuffle_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";

/** Kept tokens x [B, 1 + keep, D], mask token [D], idsRestore [B, L] → [B, 1 + L, D]; the cls token stays in front. */
export const unshuffleOp: Op<Record<string, never>> = {
  name: "unshuffle",
  outputs([x, maskToken, idsRestore]) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [b, kept, width] = shape as [number, number, number];
    expect(width % 4 === 0, `width ${width} is no multiple of 4`);
    expectShape(maskToken, "mask token", [width]);
    const tokens = dim(expectShape(idsRestore, "idsRestore", [b, -1]), 1);
    expect(kept - 1 <= tokens, `${kept - 1} tokens cannot be kept of ${tokens}`);
    return [{ shape: [b, 1 + tokens, width], dtype }];
  },
  kernels({ inputs, outputs }) {
    const [x, maskToken, idsRestore] = inputs as [Tensor, Tensor, Tensor];
    const [b, kept, width] = x.shape as [number, number, number];
    const tokens = dim(idsRestore, 1);
    return [
      {
        label: "unshuffle",
        wgsl: specialize(unshuffleWgsl, {
          constants: { WIDTH: width, TOKENS: tokens, KEEP: kept - 1 },
          types: { Act: x.dtype },
        }),
        entryPoint: "unshuffle",
        bindings: { x, maskToken, idsRestore, y: outputs[0] },
        workgroups: [groups(((1 + tokens) * width) / 4, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
  gradient({ inputs: [x, , idsRestore] }, [dy], graph) {
    const keep = dim(x, 1) - 1;
    const [dx, dMaskToken] = graph.apply(unshuffleBackwardOp, [dy, idsRestore] as [Tensor, Tensor], { keep });
    return [dx, dMaskToken];
  },
};

/** Tokens that an invocation of the backward kernel goes through. */
const run = 16;

/**
 * The gradient of {@link unshuffleOp}: dy [B, 1 + L, D], idsRestore [B, L] → dx [B, 1 + keep, D] and the mask token's [D], the sum over removed
 * tokens, with sums of runs of tokens [B, runs, D] as a step on the way.
 */
export const unshuffleBackwardOp: Op<{ keep: number }> = {
  name: "unshuffleBackward",
  outputs([dy, idsRestore], { keep }) {
    const [b, tokens] = expectShape(idsRestore, "idsRestore", [-1, -1]).shape as [number, number];
    const { shape, dtype } = expectActivation(dy, "dy", [b, 1 + tokens, -1]);
    const width = shape[2];
    expect(width % 4 === 0, `width ${width} is no multiple of 4`);
    expect(keep <= tokens, `${keep} tokens cannot be kept of ${tokens}`);
    return [
      { shape: [b, 1 + keep, width], dtype },
      { shape: [width], dtype: "f32" },
      { shape: [b, groups(tokens, run), width], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs, attrs: { keep } }, target) {
    const [dy, idsRestore] = inputs as [Tensor, Tensor];
    const [dx, dMaskToken, partial] = outputs as [Tensor, Tensor, Tensor];
    const [b, runs, width] = partial.shape as [number, number, number];
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
  cost: (call) => ({ flops: elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};
