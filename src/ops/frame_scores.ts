import frameScoresWgsl from "../../shaders/frame_scores.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, expectShape } from "./common.js";

/**
 * Token errors [B, L, 2] → [B, 2], means over all tokens or, with idsRestore [B, L], over the
 * removed ones.
 */
export const frameScoresOp: Op<{ keep: number }, "errors", "idsRestore"> = {
  name: "frameScores",
  outputs({ errors, idsRestore }) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape;
    if (idsRestore) expectShape(idsRestore, "idsRestore", [b, tokens]);
    return [{ shape: [b, 2], dtype: "f32" }];
  },
  kernels({ inputs: { errors, idsRestore }, outputs: [scores], attrs: { keep } }) {
    const [b, tokens] = errors.shape;
    return [
      {
        label: "frame scores",
        wgsl: specialize(frameScoresWgsl, {
          constants: { TOKENS: tokens, KEEP: keep },
          flags: { MASKED_ONLY: idsRestore !== undefined },
        }),
        entryPoint: "frameScores",
        bindings: { errors, scores, idsRestore },
        workgroups: [b, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: elementCount(call.inputs.errors.shape), bytes: bytesOf(call) }),
};
