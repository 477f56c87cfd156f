import type { TestContext } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import type { ActivationType, Tensor } from "../../src/graph/graph.js";
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

/** Floats as activations of a type hold them. */
export function roundedTo(dtype: ActivationType, floats: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return dtype === "f16" ? roundedToHalf(floats) : floats;
}

/** An input of activations of a type. */
export function activationInput(
  bench: Bench,
  dtype: ActivationType,
  shape: readonly number[],
  floats: Float32Array<ArrayBuffer>,
): Tensor {
  return dtype === "f16" ? halfInput(bench, shape, floats) : bench.input(shape, floats);
}
