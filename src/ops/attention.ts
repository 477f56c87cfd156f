import attentionWgsl from "../../shaders/attention.wgsl";
import attentionMatrixWgsl from "../../shaders/attention_matrix.wgsl";
import attentionSharedWgsl from "../../shaders/attention_shared.wgsl";
import attentionSplitWgsl from "../../shaders/attention_split.wgsl";
import attentionSubgroupWgsl from "../../shaders/attention_subgroup.wgsl";
import attentionTiledWgsl from "../../shaders/attention_tiled.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { ActivationType, Op, Tensor } from "../graph/graph.js";
import { attentionBackwardOp } from "./attention_backward.js";
import { bytesOf, expect, expectActivation, groups } from "./common.js";
import { type AttentionShape, type AttentionVariant, attentionKey, attentionVariants, choose } from "./variants.js";

/**
 * Multi-head attention: q, k, v [3, B, N, D] → softmax(q kᵀ) v [B, N, D], heads side by side in D.
 * The scale is in q already.
 */
export const attentionOp: Op<{ heads: number }, "qkv"> = {
  name: "attention",
  outputs({ qkv }, { heads }) {
    const { shape, dtype } = expectActivation(qkv, "qkv", [3, -1, -1, -1]);
    const [, b, tokens, width] = shape;
    expect(width % (4 * heads) === 0, `width ${width} does not divide into ${heads} heads of a multiple of 4`);
    return [{ shape: [b, tokens, width], dtype }];
  },
  kernels({ inputs: { qkv }, outputs: [y], attrs: { heads } }, target) {
    const [, b, tokens] = qkv.shape;
    const shape = attentionShape(qkv, heads);
    const variant = choose(target, attentionKey(shape), attentionVariants(target, shape));
    const { source, constants, flags, queries } = specialization(variant, shape);
    const sizes = { SAMPLES: b, TOKENS: tokens, HEADS: heads, HEAD_WIDTH: shape.headWidth };
    return [
      {
        label: variant.kind === "plain" ? "attention" : `attention (${variant.kind})`,
        wgsl: specialize(source, {
          constants: { ...sizes, ...constants },
          flags,
          ...(variant.kind !== "matrix" && variant.kind !== "split" && { types: { Act: qkv.dtype } }),
        }),
        entryPoint: "attention",
        bindings: { qkv, y },
        workgroups: [groups(tokens, queries), heads, b],
      },
    ];
  },
  variants({ inputs: { qkv }, attrs: { heads } }, target) {
    const shape = attentionShape(qkv, heads);
    return { key: attentionKey(shape), names: [...attentionVariants(target, shape).keys()] };
  },
  cost(call) {
    const [, b, tokens, width] = call.inputs.qkv.shape;
    return { flops: 4 * b * tokens * tokens * width, bytes: bytesOf(call) };
  },
  gradient({ inputs: { qkv }, outputs: [y], attrs }, dy, graph) {
    return { qkv: graph.apply(attentionBackwardOp, { qkv, y, dy }, attrs)[0] };
  },
};

function attentionShape({ shape, dtype }: Tensor, heads: number): AttentionShape {
  const [, samples, tokens, width] = shape;
  return { dtype: dtype as ActivationType, samples, tokens, heads, headWidth: width / heads };
}

/** The WGSL of a variant, its constants besides the sizes, and the queries of a workgroup. */
interface Specialized {
  source: string;
  constants: Record<string, number>;
  flags?: Record<string, boolean>;
  queries: number;
}

function specialization(variant: AttentionVariant, { headWidth }: AttentionShape): Specialized {
  switch (variant.kind) {
    case "subgroup": {
      const { lanes, queries, keys } = variant;
      const constants = {
        ...{ LANES: lanes, QUERIES: queries, QUERY_GROUPS: groups(queries, lanes), KEYS: keys },
        ...{ LANE_QUADS: lanes / 4, VECTORS: headWidth / (4 * lanes) },
      };
      return { source: attentionSubgroupWgsl, constants, queries };
    }
    case "shared": {
      const { workgroup, queries, keys, block } = variant;
      const constants = {
        ...{ WORKGROUP: workgroup, GROUPS: queries, KEYS: keys, BLOCK: block },
        VECTORS: headWidth / 4,
      };
      return { source: attentionSharedWgsl, constants, queries: workgroup * queries };
    }
    case "tiled": {
      const { lanes, columns, lanesM, rows } = variant;
      const constants = { LANES: lanes, COLUMNS: columns, LANES_M: lanesM, ROWS: rows };
      return { source: attentionTiledWgsl, constants, queries: lanesM * rows };
    }
    case "matrix":
    case "split": {
      const { unit, valueN, keys, subgroups } = variant;
      const share = keys / (unit.lanes / unit.m);
      const columns = commonDivisor(headWidth, keys);
      // Subgroups of 8 mean a CPU driver, which takes minutes to compile unrolled matrix products.
      const unrolled = (tiles: number) => (unit.lanes > 8 ? tiles : 1);
      const constants = {
        ...{ SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, VALUE_N: valueN, KEYS: keys, LANES: unit.lanes },
        ...{ SUBGROUPS: subgroups, INNER: headWidth / unit.k, VALUE_TILES: headWidth / valueN },
        ...{ SCORE_TILES: unrolled(keys / unit.n), P_TILES: unrolled(keys / unit.k) },
        ...{ VECTORS: share / 4, PAIRS: share / 8, ROUNDS: headWidth / columns, ROUND_TILES: columns / valueN },
        CHUNKS: groups(keys * (headWidth / 8), subgroups * unit.lanes),
      };
      return {
        source: variant.kind === "split" ? attentionSplitWgsl : attentionMatrixWgsl,
        constants,
        flags: { SIZED: unit.requested },
        queries: subgroups * unit.m,
      };
    }
    case "plain":
      return { source: attentionWgsl, constants: {}, flags: { HELD: headWidth <= 32 }, queries: 64 };
  }
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
