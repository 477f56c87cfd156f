import anomalyMapWgsl from "../../shaders/anomaly_map.wgsl";
import frameScoresWgsl from "../../shaders/frame_scores.wgsl";
import headErrorsWgsl from "../../shaders/head_errors.wgsl";
import headErrorsMatrixWgsl from "../../shaders/head_errors_matrix.wgsl";
import headErrorsSplitWgsl from "../../shaders/head_errors_split.wgsl";
import headErrorsSubgroupWgsl from "../../shaders/head_errors_subgroup.wgsl";
import headErrorsTiledWgsl from "../../shaders/head_errors_tiled.wgsl";
import sumErrorsWgsl from "../../shaders/sum_errors.wgsl";
import tokenErrorsWgsl from "../../shaders/token_errors.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { type ActivationType, elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import {
  bytesOf,
  dim,
  elementwiseCost,
  expect,
  expectActivation,
  expectShape,
  groups,
  sampleWords,
  sizes as sizesOf,
} from "./common.js";
import { partsOf, splitWeight } from "./split_weight.js";
import { tokenErrorsBackwardOp } from "./token_errors_backward.js";
import {
  choose,
  type HeadErrorsShape,
  headErrorsKey,
  headErrorsVariants,
  matrixTileSizes,
  type TileVariant,
} from "./variants.js";

/** How two values differ: squared (L2) or absolute (L1). */
export type Norm = "L1" | "L2";

interface ErrorAttrs {
  patch: number;
  norm: Norm;
}

/**
 * Token errors from stored predictions: targets [slots, H, W] packed, samples [B, sampleWords], teacher [B, 1 + L, P·P·4] and,
 * where there is one, student → [B, L, 2]: mean difference of teacher and student (0 without a student), of target and teacher.
 * With `normalizeTarget` the target token is first normalised by its own mean and unbiased variance (norm_pix_loss).
 */
export const tokenErrorsOp: Op<ErrorAttrs & { normalizeTarget: boolean }> = {
  name: "tokenErrors",
  outputs([targets, samples, teacher, student], { patch }) {
    const [, h, w] = expectShape(targets, "targets", [-1, -1, -1]).shape as [number, number, number];
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const tokens = (h * w) / patch ** 2;
    const { shape } = expectActivation(teacher, "teacher", [b, 1 + tokens, patch * patch * 4]);
    if (student) expectActivation(student, "student", shape, teacher);
    return [{ shape: [b, tokens, 2], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs }) {
    const [targets, samples, teacher, student] = inputs as [Tensor, Tensor, Tensor, Tensor?];
    const errors = outputs[0];
    const [b, tokens] = errors.shape as [number, number];
    return [
      {
        label: "token errors",
        wgsl: specialize(tokenErrorsWgsl, {
          constants: {
            PATCH: attrs.patch,
            GRID_WIDTH: dim(targets, 2) / attrs.patch,
            TOKENS: tokens,
            PREDICTION_ROWS: dim(teacher, 1),
            ABSOLUTE: attrs.norm === "L1",
            NORMALIZE_TARGET: attrs.normalizeTarget,
          },
          types: { Act: teacher.dtype },
          flags: { STUDENT: student !== undefined },
        }),
        entryPoint: "tokenErrors",
        bindings: { targets, samples, teacher, errors, ...(student && { student }) },
        workgroups: [tokens, b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 6 * elementCount(call.inputs[2]?.shape ?? []), bytes: bytesOf(call) }),
  gradient({ inputs, attrs: { patch, norm, normalizeTarget } }, gradients, graph, needed) {
    expect(norm === "L2", `token errors of norm ${norm} have no gradient, those of L2 have`);
    const predictions = ["teacher", "student"] as const;
    const [dTeacher, dStudent] = predictions.map((of, i) => {
      if (!needed[2 + i]) return undefined;
      const tensors = [gradients[0] as Tensor, ...inputs];
      return graph.apply(tokenErrorsBackwardOp, tensors, { patch, normalizeTarget, of })[0];
    });
    return [undefined, undefined, dTeacher, dStudent];
  },
};

/**
 * Heads and token errors in one pass: targets, samples, weight [heads, D, P·P·4] and bias [heads, P·P·4] of the teacher's and, where there is
 * one, the student's head, then their features [B, 1 + L, D] (normalised) → [B, L, 2] as {@link tokenErrorsOp}. No prediction
 * is stored; the second output has room for sums over parts of a token, a third one, of float32, for the parts of the weights.
 */
export const headErrorsOp: Op<ErrorAttrs> = {
  name: "headErrors",
  outputs([targets, samples, weight, bias, teacher, student], { patch }) {
    const [, h, w] = expectShape(targets, "targets", [-1, -1, -1]).shape as [number, number, number];
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const tokens = (h * w) / patch ** 2;
    const width = dim(expectActivation(teacher, "teacher", [b, 1 + tokens, -1]), 2);
    const values = patch * patch * 4;
    const heads = student ? 2 : 1;
    const { shape, dtype } = expectActivation(weight, "weight", [heads, width, values], teacher);
    expectShape(bias, "bias", [heads, values]);
    if (student) expectActivation(student, "student", [b, 1 + tokens, width], teacher);
    return [
      { shape: [b, tokens, 2], dtype: "f32" },
      { shape: [b, tokens, groups(patch * patch, leastPixels), 2], dtype: "f32" },
      ...(dtype === "f32" ? [partsOf(shape)] : []),
    ];
  },
  kernels({ inputs, outputs, attrs }, target): Kernel[] {
    const [targets, samples, weight, bias, teacher, student] = inputs as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor?,
    ];
    const [errors, partial, parts] = outputs as [Tensor, Tensor, Tensor?];
    const [b, tokens] = errors.shape as [number, number];
    const width = dim(teacher, 2);
    const pixels = attrs.patch ** 2;
    const sizes = { PATCH: attrs.patch, GRID_WIDTH: dim(targets, 2) / attrs.patch, TOKENS: tokens, WIDTH: width };
    const common = { ...sizes, ABSOLUTE: attrs.norm === "L1" };
    const flags = { STUDENT: student !== undefined };
    const types = { Act: teacher.dtype };
    const features = { targets, samples, weight, bias, teacher, ...(student && { student }) };
    const shape = headErrorsShape(teacher, errors, attrs.patch);
    const variant = choose(target, headErrorsKey(shape), headErrorsVariants(target, shape)) as TileVariant;
    const entryPoint = "headErrors";
    switch (variant.kind) {
      case "subgroup": {
        const { lanes, rows, strips, direct } = variant;
        const constants = { ...common, LANES: lanes, ROWS: rows, ROW_GROUPS: groups(rows, lanes), STRIPS: strips };
        return [
          {
            label: "head errors (subgroup)",
            wgsl: specialize(headErrorsSubgroupWgsl, { constants, types, flags: { ...flags, DIRECT: direct } }),
            ...{ entryPoint, bindings: { ...features, errors } },
            workgroups: [groups(tokens, rows), b, 1],
          },
        ];
      }
      case "tiled": {
        const { rows, columns, lanesM, lanesN } = variant;
        const [tileM, tilePixels, invocations] = [lanesM * rows, lanesN * columns, lanesM * lanesN];
        const parts = groups(pixels, tilePixels);
        const constants = {
          ...{ ...common, HEADS: student ? 2 : 1, PARTS: parts, K_STEP: 16 },
          ...{ ROWS: rows, COLUMNS: columns, LANES_M: lanesM, LANES_N: lanesN, TILE_M: tileM, TILE_PIXELS: tilePixels },
          ...{ X_LOADS: groups(4 * tileM, invocations), W_LOADS: groups(16 * tilePixels, invocations) },
        };
        return [
          {
            label: "head errors (tiled)",
            wgsl: specialize(headErrorsTiledWgsl, { constants, types, flags }),
            ...{ entryPoint, bindings: { ...features, partial } },
            workgroups: [parts, groups(tokens, tileM), b],
          },
          sumErrors(partial, errors, parts, 4 * pixels),
        ];
      }
      case "matrix":
      case "split": {
        const { unit, tilesM, tilesN, subgroupsN, step } = variant;
        const { tileM, tileN, workgroup } = matrixTileSizes(variant);
        const isMatrix = variant.kind === "matrix";
        const tiles = (4 * pixels) / tileN;
        const constants = {
          ...{ ...common, M: b * tokens, HEADS: student ? 2 : 1, PARTS: tiles },
          ...{ SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, TILES_M: tilesM, TILES_N: tilesN },
          ...{ SUBGROUPS: subgroupsN, LANES: unit.lanes, WORKGROUP: workgroup, TILE_M: tileM, TILE_N: tileN },
          ...(isMatrix && { K_STEP: step }),
          X_LOADS: (isMatrix ? (tileM * step) / 8 : 2 * tileM) / workgroup,
          W_LOADS: (isMatrix ? (step * tileN) / 8 : 4 * tileN) / workgroup,
          FOURS: (tilesN * unit.n * unit.m) / unit.lanes / 16,
        };
        const source = isMatrix ? headErrorsMatrixWgsl : headErrorsSplitWgsl;
        const { weight: _, ...others } = features;
        const bindings = isMatrix ? { ...features, partial } : { ...others, parts: parts as Tensor, partial };
        return [
          ...(isMatrix ? [] : [splitWeight(weight, parts as Tensor, 4 * pixels, false)]),
          {
            label: `head errors (${variant.kind})`,
            wgsl: specialize(source, { constants, flags: { ...flags, SIZED: unit.requested } }),
            ...{ entryPoint, bindings },
            workgroups: [tiles, groups(b * tokens, tileM), 1],
          },
          sumErrors(partial, errors, tiles, 4 * pixels),
        ];
      }
      case "plain": {
        const rows = 4;
        return [
          {
            label: "head errors",
            wgsl: specialize(headErrorsWgsl, { constants: { ...common, ROWS: rows }, types, flags }),
            ...{ entryPoint, bindings: { ...features, errors } },
            workgroups: [groups(tokens, rows), b, 1],
          },
        ];
      }
    }
  },
  variants({ inputs, outputs, attrs: { patch } }, target) {
    const shape = headErrorsShape(inputs[4], outputs[0], patch);
    return { key: headErrorsKey(shape), names: [...headErrorsVariants(target, shape).keys()] };
  },
  cost(call) {
    const [heads, width, values] = sizesOf(call.inputs[2]);
    const [b, tokens] = sizesOf(call.outputs[0]);
    return { flops: heads * b * tokens * (2 * width + 3) * values, bytes: bytesOf(call) };
  },
};

/** Pixels that a tile of head_errors_tiled.wgsl has at least. */
const leastPixels = 8;

function headErrorsShape(teacher: Tensor, errors: Tensor, patch: number): HeadErrorsShape {
  const [batch, tokens] = errors.shape as [number, number, number];
  return { dtype: teacher.dtype as ActivationType, batch, tokens, width: dim(teacher, 2), patch };
}

/** Adds up the `parts` of each token's sums, to means over its `values`. */
function sumErrors(partial: Tensor, errors: Tensor, parts: number, values: number): Kernel {
  const tokens = elementCount(errors.shape) / 2;
  return {
    label: "sum errors",
    wgsl: specialize(sumErrorsWgsl, { constants: { PARTS: parts, TOKENS: tokens, VALUES: values } }),
    entryPoint: "sumErrors",
    bindings: { partial, errors },
    workgroups: [groups(tokens, 64), 1, 1],
  };
}

/** Token errors [B, L, 2] → [B, 2], means over all tokens or, given idsRestore [B, L], over the removed ones. */
export const frameScoresOp: Op<{ keep: number }> = {
  name: "frameScores",
  outputs([errors, idsRestore]) {
    const [b, tokens] = expectShape(errors, "errors", [-1, -1, 2]).shape as [number, number];
    if (idsRestore) expectShape(idsRestore, "idsRestore", [b, tokens]);
    return [{ shape: [b, 2], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { keep } }) {
    const [errors, idsRestore] = inputs as [Tensor, Tensor?];
    const [b, tokens] = errors.shape as [number, number];
    return [
      {
        label: "frame scores",
        wgsl: specialize(frameScoresWgsl, {
          constants: { TOKENS: tokens, KEEP: keep },
          flags: { MASKED_ONLY: idsRestore !== undefined },
        }),
        entryPoint: "frameScores",
        bindings: { errors, scores: outputs[0], ...(idsRestore && { idsRestore }) },
        workgroups: [b, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};

/** The predicted anomaly channel [B, 1 + L, P·P] (−1…1) as an image [B, H, W], 0…1. */
export const anomalyMapOp: Op<{ patch: number; height: number; width: number }> = {
  name: "anomalyMap",
  outputs([prediction], { patch, height, width }) {
    expect(height % patch === 0 && width % patch === 0, `size ${height}x${width} is no multiple of ${patch}`);
    expectActivation(prediction, "prediction", [-1, 1 + (height * width) / patch ** 2, patch * patch]);
    return [{ shape: [dim(prediction, 0), height, width], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { patch, height, width } }) {
    const [prediction] = inputs as [Tensor];
    return [
      {
        label: "anomaly map",
        wgsl: specialize(anomalyMapWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: width / patch,
            TOKENS: (height * width) / patch ** 2,
            PREDICTION_ROWS: dim(prediction, 1),
          },
          types: { Act: prediction.dtype },
        }),
        entryPoint: "layOut",
        bindings: { prediction, map: outputs[0] },
        workgroups: [groups(width, 64), height, dim(prediction, 0)],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 2),
};
