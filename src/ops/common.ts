import { byteSize, type Call, elementCount, type TensorSpec } from "../graph/graph.js";

/** Words of the `Sample` struct that kernels read: slots of five frames and of the target, and the frame's position. */
export const sampleWords = 8;

/** Throws unless a condition holds; for shape rules. */
export function expect(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** Throws unless a shape is as named; `-1` matches any size. Of words: what may be f16 is for {@link expectActivation}. */
export function expectShape(tensor: TensorSpec | undefined, name: string, shape: readonly number[]): TensorSpec {
  expect(tensor?.dtype !== "f16", `${name} is f16, which is for activations alone`);
  return expectActivation(tensor, name, shape);
}

/** As {@link expectShape}, of an activation, which mixed precision keeps as f16. Where there is another one, both have to be of its type. */
export function expectActivation(
  tensor: TensorSpec | undefined,
  name: string,
  shape: readonly number[],
  other = tensor,
): TensorSpec {
  const fits = tensor?.shape.length === shape.length && shape.every((n, i) => n === -1 || n === tensor.shape[i]);
  expect(fits, `${name} has the shape [${tensor?.shape}], not [${shape.map((n) => (n === -1 ? "any" : n))}]`);
  expect(tensor?.dtype === other?.dtype, `${name} is ${tensor?.dtype}, not ${other?.dtype}`);
  return tensor;
}

/** Workgroups of `size` that cover `count`. */
export function groups(count: number, size: number): number {
  return Math.ceil(count / size);
}

/** Bytes of all inputs and outputs of a call: the least that a kernel moves. */
export function bytesOf(call: Call): number {
  return [...call.inputs, ...call.outputs].reduce((sum, t) => sum + byteSize(t), 0);
}

/** The cost of an op that does `flopsPerElement` for each element of its first output. */
export function elementwiseCost(call: Call, flopsPerElement: number): { flops: number; bytes: number } {
  const first = call.outputs[0];
  return { flops: first ? elementCount(first.shape) * flopsPerElement : 0, bytes: bytesOf(call) };
}

/** A dimension of a shape that is known to have it. */
export function dim(tensor: TensorSpec | undefined, index: number): number {
  const size = tensor?.shape.at(index);
  if (size === undefined) throw new Error(`shape [${tensor?.shape}] has no dimension ${index}`);
  return size;
}

/** The first four sizes of a shape, 1 where it has fewer dimensions. */
export function sizes(tensor: TensorSpec | undefined): [number, number, number, number] {
  const shape = tensor?.shape ?? [];
  return [shape[0] ?? 1, shape[1] ?? 1, shape[2] ?? 1, shape[3] ?? 1];
}
