import type { TestContext } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import type { Tensor } from "../../src/graph/graph.js";
import { float32ToHalf, halfToFloat32 } from "../../src/half.js";
import type { Bench } from "./gpu.js";

/** Skips a test if the adapter has no float16. */
export function needsHalf(gpu: Gpu, { skip }: Pick<TestContext, "skip">): void {
  if (!gpu.features.has("shader-f16")) skip(`${gpu.adapter.description} has no shader-f16`);
}

/** Floats, each rounded to the nearest half. */
export function roundedToHalf(floats: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(halfToFloat32(float32ToHalf(floats)));
}

/** An input of f16. */
export function halfInput(bench: Bench, shape: readonly number[], floats: Float32Array): Tensor {
  const halves = new Uint16Array(2 * Math.ceil(floats.length / 2));
  halves.set(float32ToHalf(floats));
  const tensor = bench.graph.input(`halves ${bench.graph.tensors.length}`, shape, "f16");
  return bench.keep(tensor, new Uint32Array(halves.buffer));
}
