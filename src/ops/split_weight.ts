import splitWeightWgsl from "../../shaders/split_weight.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Tensor } from "../graph/graph.js";
import { groups } from "./common.js";

/** The shape of what {@link splitWeight} makes of a weight of so many values: words, each of two float16 values. */
export function partsOf(weight: readonly number[]): { shape: number[]; dtype: "u32" } {
  return { shape: [elementCount(weight)], dtype: "u32" };
}

/**
 * Splits a weight [rows, columns] of float32 into pairs of float16, for a kernel on matrix units that follows.
 * @param isPixels whether rows are values of pixels, which then lie as patch_embed_split.wgsl has them
 */
export function splitWeight(weight: Tensor, parts: Tensor, columns: number, isPixels: boolean): Kernel {
  const rows = elementCount(weight.shape) / columns;
  return {
    label: "split weight",
    wgsl: specialize(splitWeightWgsl, {
      constants: { COLUMNS: columns },
      flags: { PIXELS: isPixels },
    }),
    entryPoint: "splitWeight",
    bindings: { weight, parts },
    workgroups: [groups(columns, 64), rows / 16, 1],
  };
}
