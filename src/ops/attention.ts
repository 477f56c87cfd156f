import attentionWgsl from "../../shaders/attention.wgsl";
import attentionSubgroupWgsl from "../../shaders/attention_subgroup.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op, Tensor } from "../graph/graph.js";
import { attentionBackwardOp } from "./attention_backward.js";
import { bytesOf, expect, expectActivation, groups, sizes } from "./common.js";
import { attentionTile } from "./variants.js";

/** Multi-head attention: q, k, v [3, B, N, D] → softmax(q kᵀ) v [B, N, D], heads side by side in D. The scale is in q already. */
export const attentionOp: Op<{ heads: number }> = {
  name: "attention",
  outputs([qkv], { heads }) {
    const { shape, dtype } = expectActivation(qkv, "qkv", [3, -1, -1, -1]);
    const [, b, tokens, width] = shape as [number, number, number, number];
    expect(width % (4 * heads) === 0, `width ${width} does not divide into ${heads} heads of a multiple of 4`);
    return [{ shape: [b, tokens, width], dtype }];
  },
  kernels({ inputs, outputs, attrs: { heads } }, target) {
    const [qkv] = inputs as [Tensor];
    const [, b, tokens, width] = qkv.shape as [number, number, number, number];
    const sizes = { SAMPLES: b, TOKENS: tokens, HEADS: heads, HEAD_WIDTH: width / heads };
    const types = { Act: qkv.dtype };
    const bindings = { qkv, y: outputs[0] as Tensor };
    const tile = attentionTile(target, tokens, width / heads);
    if (tile) {
      const { lanes, queries, keys } = tile;
      const constants = {
        ...sizes,
        LANES: lanes,
        QUERIES: queries,
        QUERY_GROUPS: groups(queries, lanes),
        KEYS: keys,
        VECTORS: width / heads / (4 * lanes),
      };
      return [
        {
          label: "attention (subgroup)",
          wgsl: specialize(attentionSubgroupWgsl, { constants, types }),
          entryPoint: "attention",
          bindings,
          workgroups: [groups(tokens, queries), heads, b],
        },
      ];
    }
    return [
      {
        label: "attention",
        wgsl: specialize(attentionWgsl, { constants: sizes, types }),
        entryPoint: "attention",
        bindings,
        workgroups: [groups(tokens, 64), heads, b],
      },
    ];
  },
  cost(call) {
    const [, b, tokens, width] = sizes(call.inputs[0]);
    return { flops: 4 * b * tokens * tokens * width, bytes: bytesOf(call) };
  },
  gradient({ inputs, outputs, attrs }, [dy], graph) {
    const [qkv, y] = [inputs[0] as Tensor, outputs[0] as Tensor];
    return dy ? graph.apply(attentionBackwardOp, [qkv, y, dy], attrs).slice(0, 1) : [];
  },
};
