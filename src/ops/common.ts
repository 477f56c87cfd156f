// What all ops share: checks of shapes and types, and counts of workgroups, bytes and FLOP.
import { byteSize, type Call, type Cost, elementCount, type TensorSpec } from "../graph/graph.js";

/**
 * Words of the `Sample` struct that kernels read: slots of five frames and of the target, the
 * current frame's number, and a word that is not used.
 */
export const sampleWords = 8;

/** Throws an Error unless a condition holds; for shape rules. */
export function expect(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/**
 * Returns a tensor of words that has the named shape; `-1` matches any size. {@link
 * expectActivation} is for what may be f16.
 * @throws Error that names the tensor
 */
export function expectShape(tensor: TensorSpec | undefined, name: string, shape: readonly number[]): TensorSpec {
  expect(tensor?.dtype !== "f16", `${name} is f16, which is for activations alone`);
  return expectActivation(tensor, name, shape);
}

/**
 * As {@link expectShape}, for an activation, which mixed precision keeps as f16.
 * @param other an activation whose type it must have
 */
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

/** Throws unless an optional input is given exactly if the op's attributes ask for it. */
export function expectGiven(name: string, tensor: TensorSpec | undefined, isWanted: boolean): void {
  expect((tensor !== undefined) === isWanted, isWanted ? `${name} is missing` : `${name} is given, but not used`);
}

/** Workgroups of `size` that cover `count`. */
export function groups(count: number, size: number): number {
  return Math.ceil(count / size);
}

/** Bytes of all inputs and outputs of a call: the least that a kernel moves. */
export function bytesOf({ inputs, outputs }: Pick<Call, "inputs" | "outputs">): number {
  return [...Object.values(inputs), ...outputs].reduce((sum, tensor) => sum + (tensor ? byteSize(tensor) : 0), 0);
}

/** The cost of an op that does `flopsPerElement` for each element of its first output. */
export function elementwiseCost(call: Pick<Call, "inputs" | "outputs">, flopsPerElement: number): Cost {
  return { flops: elementCount(call.outputs[0].shape) * flopsPerElement, bytes: bytesOf(call) };
}

/** A dimension of a shape that is known to have it. */
export function dim(tensor: TensorSpec | undefined, index: number): number {
  const size = tensor?.shape.at(index);
  if (size === undefined) throw new Error(`shape [${tensor?.shape}] has no dimension ${index}`);
  return size;
}
