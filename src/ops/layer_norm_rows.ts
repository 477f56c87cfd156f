/**
 * What LayerNorm's forward and backward kernels share: the sizes of their inputs, and how rows are
 * shared out.
 */
import type { Target } from "../gpu/gpu.js";
import type { DType, TensorSpec } from "../graph/graph.js";
import { dim, expect, expectActivation } from "./common.js";

/** Invocations of a workgroup. */
export const workgroup = 64;

/** Invocations that share a row. A software adapter gives a row to one, which needs no barrier. */
export function lanesOf({ adapter }: Target): number {
  return adapter.kind === "gpu" ? 16 : 1;
}

/** The sizes and the type of x [B, rows, D]. */
export function expectRows(x: TensorSpec): [b: number, rows: number, width: number, dtype: DType] {
  const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
  const [b, rows, width] = shape;
  expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
  return [b, rows, width, dtype];
}

/** Whether dy, which must fit x, has a token in front. */
export function hasTokenInFront(dy: TensorSpec, x: TensorSpec): boolean {
  const front = dim(dy, 1) === dim(x, 1) + 1;
  expectActivation(dy, "dy", [dim(x, 0), dim(x, 1) + (front ? 1 : 0), dim(x, 2)], x);
  return front;
}
