/** What the depthwise convolutions of training share. */
import transposeWgsl from "../../shaders/transpose.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import type { Kernel, Tensor, TensorSpec } from "../graph/graph.js";
import { expect, expectActivation, groups } from "./common.js";
import { convolutionRun } from "./variants.js";

/** The grid of a sample's tokens, without the first token. */
export interface Grid {
  rows: number;
  columns: number;
}

/**
 * The constants and workgroups of kernels whose invocations make runs of tokens, one below the
 * other; x is [B, 1 + rows·columns, D].
 */
export function tokenRuns(target: Target, x: Tensor, { rows, columns }: Grid) {
  const [b, , width] = x.shape;
  const run = convolutionRun(target, rows);
  const workgroups: Kernel["workgroups"] = [groups((columns * width) / 4, 64), groups(rows, run), b];
  const grid = { ROWS: rows, COLUMNS: columns };
  return { constants: { WIDTH: width, ...grid, SAMPLES: b, RUN: run, RUN_AND_BORDER: run + 2 }, workgroups };
}

/** Transposes x [rows, columns] to y [columns, rows]. */
export function transpose(label: string, x: Tensor, y: Tensor, rows: number, columns: number): Kernel {
  return {
    label: `${label} transposed`,
    wgsl: specialize(transposeWgsl, { constants: { ROWS: rows, COLUMNS: columns } }),
    entryPoint: "transposed",
    bindings: { x, y },
    workgroups: [groups(rows * columns, 64), 1, 1],
  };
}

/** The sizes and the type of x [B, 1 + rows·columns, D]. */
export function expectTokens(x: TensorSpec, { rows, columns }: Grid) {
  const { shape, dtype } = expectActivation(x, "x", [-1, 1 + rows * columns, -1]);
  const [b, tokens, width] = shape;
  expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
  return { b, tokens, width, dtype };
}
