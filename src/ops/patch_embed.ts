// The patch embedding of kept tokens, and its weight in the layouts that its variants read.
import patchEmbedWgsl from "../../shaders/patch_embed.wgsl";
import patchEmbedMatrixWgsl from "../../shaders/patch_embed_matrix.wgsl";
import patchEmbedSplitWgsl from "../../shaders/patch_embed_split.wgsl";
import patchEmbedSubgroupWgsl from "../../shaders/patch_embed_subgroup.wgsl";
import patchEmbedTiledWgsl from "../../shaders/patch_embed_tiled.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import type { ActivationType, Kernel, Op, Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups, sampleWords } from "./common.js";
import { partsOf, splitWeight } from "./split_weight.js";
import {
  choose,
  linearStrips,
  matrixTileSizes,
  type PatchEmbedShape,
  patchEmbedKey,
  patchEmbedVariants,
  type Specialized,
  stepPixels,
  type TileVariant,
} from "./variants.js";

/**
 * Embeds kept tokens only: frames [slots, H, W] packed, samples [B, sampleWords], idsKeep [B,
 * keep], weight [3, P, P, 3, D], bias [D] → [B, keep, D] of the weight's type. With float32, a
 * second output has room for the weight's parts.
 */
export const patchEmbedOp: Op<{ patch: number }, "frames" | "samples" | "idsKeep" | "weight" | "bias"> = {
  name: "patchEmbed",
  outputs({ frames, samples, idsKeep, weight, bias }, { patch }) {
    const [, h, w] = expectShape(frames, "frames", [-1, -1, -1]).shape;
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is not a multiple of the patch, ${patch}`);
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const keep = dim(expectShape(idsKeep, "idsKeep", [b, -1]), 1);
    const { shape, dtype } = expectActivation(weight, "weight", [3, patch, patch, 3, -1]);
    const width = shape[4];
    expectShape(bias, "bias", [width]);
    expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
    const y = { shape: [b, keep, width], dtype };
    return dtype === "f32" ? [y, partsOf(shape)] : [y];
  },
  kernels({ inputs, outputs: [y, parts], attrs: { patch } }, target) {
    const { frames, samples, idsKeep, weight, bias } = inputs;
    const [b, keep, width] = y.shape;
    const [, h, w] = frames.shape;
    const sizes = { PATCH: patch, GRID_WIDTH: w / patch, TOKENS: (h * w) / patch ** 2, KEEP: keep, WIDTH: width };
    const shape = patchEmbedShape(y, patch);
    const variant = choose(target, patchEmbedKey(shape), patchEmbedVariants(target, shape));
    const { kind } = variant;
    const { source, constants, workgroups, flags } = specialization(variant, b, keep, width);
    const onUnits = variant.kind === "matrix" || variant.kind === "split";
    const embed: Kernel = {
      label: kind === "plain" ? "patch embed" : `patch embed (${kind})`,
      wgsl: specialize(source, {
        constants: { ...sizes, ...constants },
        flags: { ...flags, SIZED: onUnits && variant.unit.requested },
        ...(!onUnits && { types: { Act: y.dtype } }),
      }),
      entryPoint: "patchEmbed",
      bindings: { frames, samples, idsKeep, weight, bias, y },
      workgroups,
    };
    if (kind !== "split") return [embed];
    const bindings = { frames, samples, idsKeep, parts, bias, y };
    return [splitWeight(weight, parts, width, true), { ...embed, bindings }];
  },
  variants({ outputs: [y], attrs: { patch } }, target) {
    const shape = patchEmbedShape(y, patch);
    return { key: patchEmbedKey(shape), names: [...patchEmbedVariants(target, shape).keys()] };
  },
  cost(call) {
    const [b, keep, width] = call.outputs[0].shape;
    return { flops: 2 * b * keep * width * call.attrs.patch ** 2 * 9, bytes: bytesOf(call) };
  },
};

function specialization(variant: TileVariant, b: number, keep: number, width: number): Specialized {
  switch (variant.kind) {
    case "subgroup": {
      const { lanes, rows, strips, direct } = variant;
      return {
        source: patchEmbedSubgroupWgsl,
        constants: {
          ...{ LANES: lanes, ROWS: rows, ROW_GROUPS: groups(rows, lanes), STRIPS: strips },
          // Two pixels at once, unless that makes the code too long.
          PIXELS: direct ? 2 : 1,
        },
        flags: { DIRECT: direct },
        workgroups: [width / (4 * lanes * strips), groups(keep, rows), b],
      };
    }
    case "tiled": {
      const { rows, columns, lanesM, lanesN } = variant;
      const [tileM, tileN4] = [lanesM * rows, lanesN * columns];
      return {
        source: patchEmbedTiledWgsl,
        constants: {
          ...{ ROWS: rows, COLUMNS: columns, LANES_M: lanesM, LANES_N: lanesN },
          ...{ TILE_M: tileM, TILE_N4: tileN4, STEP_PIXELS: stepPixels },
        },
        workgroups: [groups(width, 4 * tileN4), groups(keep, tileM), b],
      };
    }
    case "matrix":
    case "split": {
      const { unit, tilesM, tilesN, subgroupsN, step } = variant;
      const { tileM, tileN, workgroup } = matrixTileSizes(variant);
      const isMatrix = variant.kind === "matrix";
      return {
        source: isMatrix ? patchEmbedMatrixWgsl : patchEmbedSplitWgsl,
        constants: {
          ...{ M: b * keep, SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, TILES_M: tilesM, TILES_N: tilesN },
          ...{ SUBGROUPS: subgroupsN, LANES: unit.lanes, WORKGROUP: workgroup, TILE_M: tileM, TILE_N: tileN },
          X_LOADS: (2 * tileM) / workgroup,
          W_LOADS: (isMatrix ? (step * tileN) / 8 : 4 * tileN) / workgroup,
        },
        workgroups: [width / tileN, groups(b * keep, tileM), 1],
      };
    }
    case "plain": {
      const [rows, lanes] = [4, Math.min(64, width / 4)];
      return {
        source: patchEmbedWgsl,
        constants: { ROWS: rows, LANES: lanes },
        workgroups: [groups(width / 4, lanes), groups(keep, rows), b],
      };
    }
  }
}

function patchEmbedShape({ shape, dtype }: Tensor, patch: number): PatchEmbedShape {
  const [batch, keep, width] = shape;
  return { dtype: dtype as ActivationType, batch, keep, patch, width };
}

/**
 * Lays out a convolution's weight [D, 9, P, P] (channels: frame, then B, G, R) for the target's
 * kernel: as [3, P, P, 3, D], or in the tiles of patch_embed_subgroup.wgsl.
 */
export function packPatchWeight(target: Target, weight: Float32Array, width: number, patch: number): Float32Array {
  const packed = new Float32Array(weight.length);
  const area = patch * patch;
  const strips = linearStrips(target, width);
  const { lanes, strips: count } = strips ?? { lanes: width / 4, strips: 1 };
  const columns = 4 * lanes * count;
  for (let d = 0; d < width; d++) {
    const [tile, within] = [Math.floor(d / columns), d % columns];
    const [strip, lane] = [Math.floor(within / (4 * lanes)), Math.floor(within / 4) % lanes];
    for (let t = 0; t < 3; t++) {
      for (let pixel = 0; pixel < area; pixel++) {
        for (let c = 0; c < 3; c++) {
          const at = strips
            ? ((((tile * 3 * area + t * area + pixel) * lanes + lane) * 3 + c) * count + strip) * 4 + (d % 4)
            : ((t * area + pixel) * 3 + c) * width + d;
          packed[at] = weight[(d * 9 + t * 3 + c) * area + pixel];
        }
      }
    }
  }
  return packed;
}
