// What tests of training's BatchNorm and of its gradient share.
import type { Bench } from "./gpu.js";
import { Random } from "./numbers.js";
import { batchNorm as reference } from "./reference.js";

export const batchNormAttrs = { epsilon: 1e-5, momentum: 0.1 };

/** Three planes of samples of `tokens` tokens, behind a first token each. */
export interface BatchNormSizes {
  batch: number;
  tokens: number;
  width: number;
}

export const batchNormCases: readonly BatchNormSizes[] = [
  { batch: 1, tokens: 2, width: 4 },
  { batch: 4, tokens: 12, width: 8 },
  { batch: 3, tokens: 7, width: 20 },
];

/** So many tokens that reductions over them are cut into several chunks of uneven size. */
export const manyTokens: BatchNormSizes = { batch: 3, tokens: 1801, width: 4 };

/** Random inputs, running statistics, and the gradient of the result. */
export function randomBatchNorm({ batch, tokens, width }: BatchNormSizes, low = -1, high = 3) {
  const random = new Random(batch * 100 + tokens);
  const count = 3 * batch * (1 + tokens) * width;
  return {
    x: random.floats(count, low, high),
    gamma: random.floats(3 * width, 0.5, 2),
    beta: random.floats(3 * width),
    running: random.floats(6 * width, 0.5, 1.5),
    dy: random.floats(count),
  };
}

/** The inputs of the op. */
export function batchNormInputs(
  bench: Bench,
  { batch, tokens, width }: BatchNormSizes,
  values: ReturnType<typeof randomBatchNorm>,
) {
  return {
    x: bench.input([3, batch, 1 + tokens, width], values.x),
    gamma: bench.input([3, width], values.gamma),
    beta: bench.input([3, width], values.beta),
    running: bench.state([2, 3, width], values.running),
  };
}

/** The result and the batch's statistics in float64. */
export const batchNorm = (
  x: ArrayLike<number>,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  sizes: BatchNormSizes,
) => reference(x, gamma, beta, sizes, batchNormAttrs.epsilon);
