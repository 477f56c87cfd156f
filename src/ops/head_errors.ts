import headErrorsWgsl from "../../shaders/head_errors.wgsl";
import headErrorsMatrixWgsl from "../../shaders/head_errors_matrix.wgsl";
import headErrorsSplitWgsl from "../../shaders/head_errors_split.wgsl";
import headErrorsSubgroupWgsl from "../../shaders/head_errors_subgroup.wgsl";
import headErrorsTiledWgsl from "../../shaders/head_errors_tiled.wgsl";
import sumErrorsWgsl from "../../shaders/sum_errors.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { type ActivationType, elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, dim, expectActivation, expectShape, groups, sampleWords } from "./common.js";
import { partsOf, splitWeight } from "./split_weight.js";
import type { Norm } from "./token_errors.js";
import {
  choose,
  type HeadErrorsShape,
  headErrorsKey,
  headErrorsVariants,
  matrixTileSizes,
  type Specialized,
  type TileVariant,
} from "./variants.js";

interface HeadErrorsAttrs {
  patch: number;
  norm: Norm;
}

type HeadErrorsInputs = "targets" | "samples" | "weight" | "bias" | "teacher";

/**
 * Heads and token errors in one pass: targets [slots, H, W] packed, samples [B, sampleWords], the
 * teacher's features [B, 1 + L, D] (normalised), maybe the student's, and their heads' weight
 * [heads, D, P·P·4] and bias [heads, P·P·4] → [B, L, 2] as {@link tokenErrorsOp}. No prediction is
 * stored. The second output has room for sums over parts of a token; with float32, a third one has
 * room for the parts of the weights.
 */
export const headErrorsOp: Op<HeadErrorsAttrs, HeadErrorsInputs, "student"> = {
  name: "headErrors",
  outputs({ targets, samples, weight, bias, teacher, student }, { patch }) {
    const [, h, w] = expectShape(targets, "targets", [-1, -1, -1]).shape;
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
  kernels({ inputs, outputs: [errors, partial, weightParts], attrs: { patch, norm } }, target) {
    const { targets, samples, weight, bias, teacher, student } = inputs;
    const values = 4 * patch ** 2;
    const shape = headErrorsShape(teacher, errors, patch);
    const variant = choose(target, headErrorsKey(shape), headErrorsVariants(target, shape));
    const { source, constants, flags, workgroups, parts } = specialization(variant, shape, student ? 2 : 1);
    const onUnits = variant.kind === "matrix" || variant.kind === "split";
    const isSplit = variant.kind === "split";
    const sizes = { PATCH: patch, GRID_WIDTH: dim(targets, 2) / patch, TOKENS: shape.tokens, WIDTH: shape.width };
    const heads: Kernel = {
      label: variant.kind === "plain" ? "head errors" : `head errors (${variant.kind})`,
      wgsl: specialize(source, {
        constants: { ...sizes, ABSOLUTE: norm === "L1", ...constants },
        flags: { STUDENT: student !== undefined, ...flags },
        ...(!onUnits && { types: { Act: teacher.dtype } }),
      }),
      entryPoint: "headErrors",
      bindings: {
        ...{ targets, samples, bias, teacher, student },
        ...(isSplit ? { parts: weightParts } : { weight }),
        ...(parts === undefined ? { errors } : { partial }),
      },
      workgroups,
    };
    return [
      ...(isSplit ? [splitWeight(weight, weightParts, values, false)] : []),
      heads,
      ...(parts === undefined ? [] : [sumErrors(partial, errors, parts, values)]),
    ];
  },
  variants({ inputs: { teacher }, outputs: [errors], attrs: { patch } }, target) {
    const shape = headErrorsShape(teacher, errors, patch);
    return { key: headErrorsKey(shape), names: [...headErrorsVariants(target, shape).keys()] };
  },
  cost(call) {
    const [heads, width, values] = call.inputs.weight.shape;
    const [b, tokens] = call.outputs[0].shape;
    return { flops: heads * b * tokens * (2 * width + 3) * values, bytes: bytesOf(call) };
  },
};

/** The fewest pixels of a tile of head_errors_tiled.wgsl. */
const leastPixels = 8;

function headErrorsShape(teacher: Tensor, errors: Tensor, patch: number): HeadErrorsShape {
  const [batch, tokens] = errors.shape;
  return { dtype: teacher.dtype as ActivationType, batch, tokens, width: dim(teacher, 2), patch };
}

/**
 * The WGSL of a variant, its constants besides the sizes, and its workgroups.
 * @returns `parts`: how many sums per token the kernel leaves to {@link sumErrors}; undefined if it
 * writes errors
 */
function specialization(
  variant: TileVariant,
  { batch, tokens, patch }: HeadErrorsShape,
  heads: number,
): Specialized & { parts?: number } {
  const pixels = patch ** 2;
  switch (variant.kind) {
    case "subgroup": {
      const { lanes, rows, strips, direct } = variant;
      return {
        source: headErrorsSubgroupWgsl,
        constants: { LANES: lanes, ROWS: rows, ROW_GROUPS: groups(rows, lanes), STRIPS: strips },
        flags: { DIRECT: direct },
        workgroups: [groups(tokens, rows), batch, 1],
      };
    }
    case "tiled": {
      const { rows, columns, lanesM, lanesN } = variant;
      const [tileM, tilePixels, invocations] = [lanesM * rows, lanesN * columns, lanesM * lanesN];
      const parts = groups(pixels, tilePixels);
      return {
        source: headErrorsTiledWgsl,
        constants: {
          ...{ HEADS: heads, PARTS: parts, K_STEP: 16 },
          ...{ ROWS: rows, COLUMNS: columns, LANES_M: lanesM, LANES_N: lanesN, TILE_M: tileM, TILE_PIXELS: tilePixels },
          ...{ X_LOADS: groups(4 * tileM, invocations), W_LOADS: groups(16 * tilePixels, invocations) },
        },
        workgroups: [parts, groups(tokens, tileM), batch],
        parts,
      };
    }
    case "matrix":
    case "split": {
      const { unit, tilesM, tilesN, subgroupsN, step } = variant;
      const { tileM, tileN, workgroup } = matrixTileSizes(variant);
      const isMatrix = variant.kind === "matrix";
      const parts = (4 * pixels) / tileN;
      return {
        source: isMatrix ? headErrorsMatrixWgsl : headErrorsSplitWgsl,
        constants: {
          ...{ M: batch * tokens, HEADS: heads, PARTS: parts },
          ...{ SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, TILES_M: tilesM, TILES_N: tilesN },
          ...{ SUBGROUPS: subgroupsN, LANES: unit.lanes, WORKGROUP: workgroup, TILE_M: tileM, TILE_N: tileN },
          ...(isMatrix && { K_STEP: step }),
          X_LOADS: (isMatrix ? (tileM * step) / 8 : 2 * tileM) / workgroup,
          W_LOADS: (isMatrix ? (step * tileN) / 8 : 4 * tileN) / workgroup,
          FOURS: (tilesN * unit.n * unit.m) / unit.lanes / 16,
        },
        flags: { SIZED: unit.requested },
        workgroups: [parts, groups(batch * tokens, tileM), 1],
        parts,
      };
    }
    case "plain": {
      const rows = 4;
      return { source: headErrorsWgsl, constants: { ROWS: rows }, workgroups: [groups(tokens, rows), batch, 1] };
    }
  }
}

/** Adds up the `parts` sums of each token, to means over its `values`. */
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
