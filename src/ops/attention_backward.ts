import attentionBackwardWgsl from "../../shaders/attention_backward.wgsl";
import attentionBackwardSharedWgsl from "../../shaders/attention_backward_shared.wgsl";
import statisticsWgsl from "../../shaders/attention_backward_statistics.wgsl";
import statisticsSharedWgsl from "../../shaders/attention_backward_statistics_shared.wgsl";
import statisticsSubgroupWgsl from "../../shaders/attention_backward_statistics_subgroup.wgsl";
import attentionBackwardSubgroupWgsl from "../../shaders/attention_backward_subgroup.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Kernel, Op } from "../graph/graph.js";
import { bytesOf, expect, expectActivation, groups } from "./common.js";
import { evenRows, type SharedAttention, sharedTile, subgroupLanes, wideLanes } from "./variants.js";

/**
 * The gradient of attention: q, k, v [3, B, N, D], y and its gradient dy [B, N, D] → dq, dk, dv [3,
 * B, N, D]; and for each head and query the logarithm of its scores' sum of exponentials and Σ
 * dy·y, [B, heads, N, 2]. Scores are computed again, never stored.
 */
export const attentionBackwardOp: Op<{ heads: number }, "qkv" | "y" | "dy"> = {
  name: "attentionBackward",
  outputs({ qkv, y, dy }, { heads }) {
    const { shape, dtype } = expectActivation(qkv, "qkv", [3, -1, -1, -1]);
    const [, b, tokens, width] = shape;
    expect(width % (4 * heads) === 0, `width ${width} does not divide into ${heads} heads of a multiple of 4`);
    expectActivation(y, "y", [b, tokens, width], qkv);
    expectActivation(dy, "dy", [b, tokens, width], qkv);
    return [
      { shape: [3, b, tokens, width], dtype },
      { shape: [b, heads, tokens, 2], dtype: "f32" },
    ];
  },
  kernels({ inputs: { qkv, y, dy }, outputs: [dqkv, statistics], attrs: { heads } }, target) {
    const [, b, tokens, width] = qkv.shape;
    const headWidth = width / heads;
    const { label, first, second } = passes(subgroupLanes(target), tokens, headWidth);
    const sizes = { SAMPLES: b, TOKENS: tokens, HEADS: heads, HEAD_WIDTH: headWidth };
    const types = { Act: qkv.dtype };
    const over = (rows: number): Kernel["workgroups"] => [groups(tokens, rows), heads, b];
    return [
      {
        label: `attention statistics${label && ` (${label})`}`,
        wgsl: specialize(first.source, { constants: { ...sizes, ...first.constants }, types }),
        entryPoint: "scoreStatistics",
        bindings: { qkv, y, dy, statistics },
        workgroups: over(first.rows),
      },
      ...[false, true].map((KEYS): Kernel => {
        const { source, constants, rows } = second(KEYS);
        return {
          label: `attention backward (${KEYS ? "keys" : "queries"}${label && `, ${label}`})`,
          wgsl: specialize(source, { constants: { ...sizes, ...constants }, types, flags: { KEYS } }),
          entryPoint: "attentionBackward",
          bindings: { qkv, dy, statistics, dqkv },
          workgroups: over(rows),
        };
      }),
    ];
  },
  // Scores three times, dy vᵀ twice, and one product each for dq, dk and dv.
  cost(call) {
    const [, b, tokens, width] = call.inputs.qkv.shape;
    return { flops: 16 * b * tokens * tokens * width, bytes: bytesOf(call) };
  },
};

/**
 * The WGSL of a pass over the scores, its constants besides the sizes, and the rows of a workgroup.
 */
interface Pass {
  source: string;
  constants: Record<string, number>;
  rows: number;
}

/**
 * A variant: the pass that makes the statistics, then the pass that runs by queries and by keys.
 */
interface Passes {
  label: string;
  first: Pass;
  second: (byKeys: boolean) => Pass;
}

function passes(lanes: number | undefined, tokens: number, headWidth: number): Passes {
  if (lanes === undefined) return plainPasses(headWidth);
  if (lanes === wideLanes && headWidth <= 256) return sharedPasses(lanes, tokens, headWidth);
  return subgroupPasses(lanes, tokens, headWidth);
}

function plainPasses(headWidth: number): Passes {
  const across = headWidth > 32 ? 16 : 8;
  const constants = { ACROSS: across, OTHERS: 32 / across, VECTORS: groups(headWidth, 4 * across) };
  return {
    label: "",
    first: { source: statisticsWgsl, constants: {}, rows: 64 },
    second: () => ({ source: attentionBackwardWgsl, constants, rows: 32 }),
  };
}

function sharedPasses(lanes: number, tokens: number, headWidth: number): Passes {
  const pass = (source: string, tile: SharedAttention, constants: Record<string, number>): Pass => ({
    source,
    constants: {
      ...{ VECTORS: headWidth / 4, WORKGROUP: tile.workgroup, GROUPS: tile.queries, BLOCK: tile.block },
      ...constants,
    },
    rows: tile.workgroup * tile.queries,
  });
  const forStatistics = sharedTile(lanes, { tokens }, { queries: 2, keys: 4, rowBytes: 4 * headWidth });
  // An invocation holds so much of each row that more rows do not pay.
  const queries = headWidth <= 32 ? 2 : 1;
  return {
    label: "shared",
    first: pass(statisticsSharedWgsl, forStatistics, { KEYS: forStatistics.keys }),
    second: (byKeys) => {
      const rowBytes = 2 * 4 * headWidth + (byKeys ? 8 : 0);
      const tile = sharedTile(lanes, { tokens }, { queries, keys: 2, rowBytes });
      return pass(attentionBackwardSharedWgsl, tile, { OTHERS: tile.keys });
    },
  };
}

function subgroupPasses(lanes: number, tokens: number, headWidth: number): Passes {
  // Larger tiles are no faster on lavapipe, which takes three to ten times as long to compile them.
  const rows = evenRows(tokens, 8);
  const rowGroups = groups(rows, lanes);
  const [keys, others] = lanes === 8 ? [2, 1] : [4, 2];
  const own = { LANES: lanes, OWN: rows, OWN_GROUPS: rowGroups, OTHERS: others };
  const backward: Pass = {
    source: attentionBackwardSubgroupWgsl,
    constants: { ...own, LANE_QUADS: lanes / 4, VECTORS: groups(headWidth, 4 * lanes) },
    rows,
  };
  return {
    label: "subgroup",
    first: {
      source: statisticsSubgroupWgsl,
      constants: { LANES: lanes, QUERIES: rows, QUERY_GROUPS: rowGroups, KEYS: keys },
      rows,
    },
    second: () => backward,
  };
}
