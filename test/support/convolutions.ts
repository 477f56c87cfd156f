// What tests of training's convolutions and of their gradients share.
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { convolveOp } from "../../src/ops/convolve.js";
import { neverAdded } from "./finite_differences.js";
import type { Bench } from "./gpu.js";
import { Random } from "./numbers.js";

/** Samples on a grid of tokens, behind a first token each. */
export interface ConvolutionSizes {
  batch: number;
  rows: number;
  columns: number;
  width: number;
}

/** A grid of one token, of one row, of one column, and of several. */
export const convolutionCases: readonly ConvolutionSizes[] = [
  { batch: 1, rows: 1, columns: 1, width: 4 },
  { batch: 2, rows: 1, columns: 5, width: 4 },
  { batch: 2, rows: 7, columns: 1, width: 4 },
  { batch: 2, rows: 3, columns: 4, width: 12 },
];

/** So many rows that reductions over them are cut into chunks of several, of uneven size. */
export const manyRows: ConvolutionSizes = { batch: 79, rows: 13, columns: 2, width: 4 };

/** Random x, weight and the gradient of the result. */
export function randomConvolution({ batch, rows, columns, width }: ConvolutionSizes) {
  const random = new Random(rows * 100 + columns);
  const count = batch * (1 + rows * columns) * width;
  return { x: random.floats(count), weight: random.floats(27 * width), dy: random.floats(3 * count) };
}

/** The convolutions' gradients with respect to x and to the weight, by autodiff. */
export function convolutionGradients(
  bench: Bench,
  { batch, rows, columns, width }: ConvolutionSizes,
  { x, weight, dy }: ReturnType<typeof randomConvolution>,
): { dx: Tensor; dweight: Tensor } {
  const tokens = 1 + rows * columns;
  const inputs = { x: bench.input([batch, tokens, width], x), weight: bench.input([3, width, 9], weight) };
  const y = bench.graph.apply(convolveOp, inputs, { rows, columns })[0];
  const seed = bench.input([3, batch, tokens, width], dy);
  const [dx, dweight] = differentiate(bench.graph, y, seed, [inputs.x, inputs.weight], neverAdded);
  return { dx: dx as Tensor, dweight: dweight as Tensor };
}
