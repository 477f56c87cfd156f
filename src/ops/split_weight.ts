// Splits float32 weights into pairs of float16, for the kernels that compute float32 on matrix
// units.
import splitWeightWgsl from "../../shaders/split_weight.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Tensor } from "../graph/graph.js";
import { groups } from "./common.js";

/**
 * The spec of a weight's parts, see {@link splitWeight}: a word of two float16 values for each
 * value.
 */
export function partsOf(weight: readonly number[]): { shape: number[]; dtype: "u32" } {
  return { shape: [elementCount(weight)], dtype: "u32" };
}

/**
 * The kernel that splits a weight [rows, columns] of float32 into pairs of float16, for the kernel
 * on matrix units after it.
 * @param isPixels whether rows are values of pixels, in the layout of patch_embed_split.wgsl
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
