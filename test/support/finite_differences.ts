// Gradients by finite differences, and what tests of gradients give to `differentiate`.
import type { Tensor } from "../../src/graph/graph.js";

/**
 * The gradient of Σ cotangent · f(inputs) with respect to one of the inputs, by central differences
 * in float64.
 * @param f a plain reference: takes and returns float64
 * @param which the input that is varied
 */
export function finiteDifferences(
  f: (...inputs: Float64Array[]) => ArrayLike<number>,
  inputs: readonly ArrayLike<number>[],
  which: number,
  cotangent: ArrayLike<number>,
  step = 1e-5,
): Float64Array {
  const own = inputs.map((input) => Float64Array.from(input));
  const varied = own[which] as Float64Array;
  const objective = () => {
    const y = f(...own);
    let sum = 0;
    for (let i = 0; i < y.length; i++) sum += y[i] * cotangent[i];
    return sum;
  };
  return varied.map((value, i) => {
    varied[i] = value + step;
    const above = objective();
    varied[i] = value - step;
    const below = objective();
    varied[i] = value;
    return (above - below) / (2 * step);
  });
}

/** Adds the gradients of a tensor that is used twice, for graphs in which none is. */
export function neverAdded(): Tensor {
  throw new Error("no tensor is used twice");
}
