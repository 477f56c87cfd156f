import noiseWgsl from "../../shaders/noise.wgsl";
import patchMotionWgsl from "../../shaders/patch_motion.wgsl";
import rankTokensWgsl from "../../shaders/rank_tokens.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op, Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectShape, groups, sampleWords } from "./common.js";

/** Uniform noise [B, L] from a seed [1] and the frame numbers of samples [B, sampleWords]. */
export const noiseOp: Op<{ tokens: number }> = {
  name: "noise",
  outputs([samples, seed], { tokens }) {
    expectShape(samples, "samples", [-1, sampleWords]);
    expectShape(seed, "seed", [1]);
    return [{ shape: [dim(samples, 0), tokens], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { tokens } }) {
    const [samples, seed] = inputs as [Tensor, Tensor];
    return [
      {
        label: "noise",
        wgsl: specialize(noiseWgsl, { constants: { TOKENS: tokens } }),
        entryPoint: "fill",
        bindings: { samples, seed, noise: outputs[0] },
        workgroups: [groups(tokens, 64), dim(samples, 0), 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};

/** The largest motion gradient of each token: [B, H, W] packed → [B, L], 0…255. */
export const patchMotionOp: Op<{ patch: number }> = {
  name: "patchMotion",
  outputs([gradient], { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape as [number, number, number];
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is no multiple of the patch, ${patch}`);
    return [{ shape: [b, (h * w) / patch ** 2], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { patch } }) {
    const [gradient] = inputs as [Tensor];
    const [motion] = outputs as [Tensor];
    const [b, tokens] = motion.shape as [number, number];
    return [
      {
        label: "patch motion",
        wgsl: specialize(patchMotionWgsl, {
          constants: { PATCH: patch, GRID_WIDTH: dim(gradient, 2) / patch, TOKENS: tokens },
        }),
        entryPoint: "maximum",
        bindings: { gradient, motion },
        workgroups: [groups(tokens, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};

/** Keys [B, L] → idsRestore [B, L] (each token's rank, ascending, ties by position) and idsKeep [B, keep]. */
export const rankTokensOp: Op<{ keep: number }> = {
  name: "rankTokens",
  outputs([keys], { keep }) {
    const [b, tokens] = expectShape(keys, "keys", [-1, -1]).shape as [number, number];
    expect(keep > 0 && keep <= tokens, `${keep} of ${tokens} tokens cannot be kept`);
    return [
      { shape: [b, tokens], dtype: "u32" },
      { shape: [b, keep], dtype: "u32" },
    ];
  },
  kernels({ inputs, outputs, attrs: { keep } }) {
    const [keys] = inputs as [Tensor];
    const [idsRestore, idsKeep] = outputs as [Tensor, Tensor];
    const [b, tokens] = keys.shape as [number, number];
    return [
      {
        label: "rank tokens",
        wgsl: specialize(rankTokensWgsl, { constants: { TOKENS: tokens, KEEP: keep } }),
        entryPoint: "rank",
        bindings: { keys, idsRestore, idsKeep },
        workgroups: [groups(tokens, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
