import attentionBackwardWgsl from "../../shaders/attention_backward.wgsl";
import attentionBackwardSharedWgsl from "../../shaders/attention_backward_shared.wgsl";
import statisticsWgsl from "../../shaders/attention_backward_statistics.wgsl";
import statisticsSharedWgsl from "../../shaders/attention_backward_statistics_shared.wgsl";
import statisticsSubgroupWgsl from "../../shaders/attention_backward_statistics_subgroup.wgsl";
import attentionBackwardSubgroupWgsl from "../../shaders/attention_backward_subgroup.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Kernel, Op, Tensor } from "../graph/graph.js";
import { bytesOf, expect, expectActivation, groups, sizes as sizesOf } from "./common.js";
import { evenRows, type SharedAttention, sharedTile, subgroupLanes, wideLanes } from "./variants.js";

/**
 * The gradient of attention: q, k, v [3, B, N, D], y and its gradient dy [B, N, D] → dq, dk, dv [3, B, N, D]; and of each head and query the
 * logarithm of its scores' sum of exponentials and Σ dy·y, [B, heads, N, 2]. Scores are computed again, never stored.
 */
export const attentionBackwardOp: Op<{ heads: number }> = {
  name: "attentionBackward",
  outputs([qkv, y, dy], { heads }) {
    const { shape, dtype } = expectActivation(qkv, "qkv", [3, -1, -1, -1]);
    const [, b, tokens, width] = shape as [number, number, number, number];
    expect(width % (4 * heads) === 0, `width ${width} does not divide into ${heads} heads of a multiple of 4`);
    expectActivation(y, "y", [b, tokens, width], qkv);
    expectActivation(dy, "dy", [b, tokens, width], qkv);
    return [
      { shape: [3, b, tokens, width], dtype },
      { shape: [b, heads, tokens, 2], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs, attrs: { heads } }, target) {
    const [qkv, y, dy] = inputs as [Tensor, Tensor, Tensor];
    const [dqkv, statistics] = outputs as [Tensor, Tensor];
    const [, b, tokens, width] = sizesOf(qkv);
    const headWidth = width / heads;
    const sizes = { SAMPLES: b, TOKENS: tokens, HEADS: heads, HEAD_WIDTH: headWidth };
    const types = { Act: qkv.dtype };
    const first = { entryPoint: "scoreStatistics", bindings: { qkv, y, dy, statistics } };
    const second = { entryPoint: "attentionBackward", bindings: { qkv, dy, statistics, dqkv } };
    const over = (rows: number): Kernel["workgroups"] => [groups(tokens, rows), heads, b];
    const lanes = subgroupLanes(target);
    if (lanes === undefined) {
      const across = headWidth > 32 ? 16 : 8;
      const tile = { ACROSS: across, OTHERS: 32 / across, VECTORS: groups(headWidth, 4 * across) };
      return [
        {
          label: "attention statistics",
          wgsl: specialize(statisticsWgsl, { constants: sizes, types }),
          ...first,
          workgroups: over(64),
        },
        ...[false, true].map((KEYS) => ({
          label: `attention backward (${KEYS ? "keys" : "queries"})`,
          wgsl: specialize(attentionBackwardWgsl, { constants: { ...sizes, ...tile }, types, flags: { KEYS } }),
          ...second,
          workgroups: over(32),
        })),
      ];
    }
    if (lanes === wideLanes && headWidth <= 256) {
      const constants = ({ workgroup, queries, block }: SharedAttention) => ({
        ...{ ...sizes, VECTORS: headWidth / 4, WORKGROUP: workgroup, GROUPS: queries, BLOCK: block },
      });
      const forStatistics = sharedTile(lanes, { tokens }, { queries: 2, keys: 4, rowBytes: 4 * headWidth });
      // More rows of an invocation do not pay, with all that it holds of them.
      const rows = headWidth <= 32 ? 2 : 1;
      return [
        {
          label: "attention statistics (shared)",
          wgsl: specialize(statisticsSharedWgsl, {
            constants: { ...constants(forStatistics), KEYS: forStatistics.keys },
            types,
          }),
          ...first,
          workgroups: over(forStatistics.workgroup * forStatistics.queries),
        },
        ...[false, true].map((KEYS) => {
          const rowBytes = 2 * 4 * headWidth + (KEYS ? 8 : 0);
          const tile = sharedTile(lanes, { tokens }, { queries: rows, keys: 2, rowBytes });
          return {
            label: `attention backward (${KEYS ? "keys" : "queries"}, shared)`,
            wgsl: specialize(attentionBackwardSharedWgsl, {
              constants: { ...constants(tile), OTHERS: tile.keys },
              types,
              flags: { KEYS },
            }),
            ...second,
            workgroups: over(tile.workgroup * tile.queries),
          };
        }),
      ];
    }
    // Larger tiles are no faster on lavapipe, which takes three to ten times as long to compile them.
    const rows = evenRows(tokens, 8);
    const [keys, others] = lanes === 8 ? [2, 1] : [4, 2];
    const rowGroups = groups(rows, lanes);
    const statisticsTile = { LANES: lanes, QUERIES: rows, QUERY_GROUPS: rowGroups, KEYS: keys };
    const vectors = groups(headWidth, 4 * lanes);
    const tile = {
      LANES: lanes,
      OWN: rows,
      OWN_GROUPS: rowGroups,
      OTHERS: others,
      LANE_QUADS: lanes / 4,
      VECTORS: vectors,
    };
    return [
      {
        label: "attention statistics (subgroup)",
        wgsl: specialize(statisticsSubgroupWgsl, { constants: { ...sizes, ...statisticsTile }, types }),
        ...first,
        workgroups: over(rows),
      },
      ...[false, true].map((KEYS) => ({
        label: `attention backward (${KEYS ? "keys" : "queries"}, subgroup)`,
        wgsl: specialize(attentionBackwardSubgroupWgsl, { constants: { ...sizes, ...tile }, types, flags: { KEYS } }),
        ...second,
        workgroups: over(rows),
      })),
    ];
  },
  // Scores three times, dy vᵀ twice, and one product each for dq, dk and dv.
  cost(call) {
    const [, b, tokens, width] = sizesOf(call.inputs[0]);
    return { flops: 16 * b * tokens * tokens * width, bytes: bytesOf(call) };
  },
};
