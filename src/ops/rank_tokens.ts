import rankTokensWgsl from "../../shaders/rank_tokens.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { bytesOf, expect, expectShape, groups } from "./common.js";

/**
 * Keys [B, L] → idsRestore [B, L] (each token's rank, ascending, ties by position) and idsKeep [B,
 * keep].
 */
export const rankTokensOp: Op<{ keep: number }, "keys"> = {
  name: "rankTokens",
  outputs({ keys }, { keep }) {
    const [b, tokens] = expectShape(keys, "keys", [-1, -1]).shape;
    expect(keep > 0 && keep <= tokens, `${keep} of ${tokens} tokens cannot be kept`);
    return [
      { shape: [b, tokens], dtype: "u32" },
      { shape: [b, keep], dtype: "u32" },
    ];
  },
  kernels({ inputs: { keys }, outputs: [idsRestore, idsKeep], attrs: { keep } }) {
    const [b, tokens] = keys.shape;
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
