/** What BatchNorm's forward and backward kernels share: sizes, and how they are cut. */
import type { TensorSpec } from "../graph/graph.js";
import { dim, expect, expectActivation, groups } from "./common.js";

/** Tokens per invocation of the kernels that write a value for each token. */
export const run = 8;

/** How the values of a channel, `rows` of them, are cut for a reduction. */
export function chunksOf(rows: number): { size: number; count: number } {
  const size = Math.max(8, Math.ceil(rows / 512));
  return { size, count: groups(rows, size) };
}

/** The sizes of x [3, B, 1 + T, D], the number of values of a channel (`rows`), and the type. */
export function expectProjections(x: TensorSpec) {
  const { dtype } = expectActivation(x, "x", [3, -1, -1, -1]);
  const [samples, tokens, width] = [dim(x, 1), dim(x, 2) - 1, dim(x, 3)];
  expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
  return { samples, tokens, width, rows: samples * tokens, dtype };
}
