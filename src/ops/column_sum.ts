// Sums over the rows of matrices, with a scale per batch entry: the gradient of a bias, and the
// last stage of a weight gradient.
import columnSumWgsl from "../../shaders/column_sum.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, expect, expectActivation, groups } from "./common.js";

/**
 * Invocations that share a column's rows on a GPU. A software adapter gives a column to one, which
 * needs no barrier.
 */
const lanesOnGpu = 16;

/** Factors, one per batch entry; undefined means 1. */
export type Scales = readonly number[] | undefined;

/** The constants of kernels with a scale per batch entry: SCALE_0 to SCALE_3. */
export function scaleConstants(scales: Scales): Record<string, number> {
  return Object.fromEntries([0, 1, 2, 3].map((i) => [`SCALE_${i}`, scales?.[i] ?? 1]));
}

/** Throws unless there is one scale per batch entry, and few enough to be constants. */
export function expectScales(scales: Scales, batch: number): void {
  if (!scales) return;
  expect(scales.length === batch, `${scales.length} scales for ${batch} batch entries`);
  expect(batch <= 4, `scales of ${batch} batch entries, at most 4 can have them`);
}

/**
 * Sums the rows of `x`, [batch, rows, width] in memory, by chunks into `sums`, [batch, rows / chunk
 * rounded up, width].
 */
export function columnSumKernel(
  target: Target,
  [x, sums]: readonly [Tensor, Tensor],
  { batch, rows, width, chunk }: { batch: number; rows: number; width: number; chunk: number },
  scales?: Scales,
): Kernel {
  const lanes = target.adapter.kind === "gpu" ? lanesOnGpu : 1;
  const workgroup = lanes > 1 ? 256 : 64;
  const constants = { ROWS: rows, WIDTH: width, CHUNK: chunk, LANES: lanes, WORKGROUP: workgroup };
  return {
    label: "column sum",
    wgsl: specialize(columnSumWgsl, {
      constants: { ...constants, ...scaleConstants(scales) },
      types: { Act: x.dtype },
      flags: { SHARED: lanes > 1 },
    }),
    entryPoint: "columnSum",
    bindings: { x, sums },
    workgroups: [groups(width / 4, workgroup / lanes), groups(rows, chunk), batch],
  };
}

/**
 * Sums over rows: x [batch, M, N] → [batch, N], times the batch entry's scale; and the sums of
 * chunks of rows [batch, chunks, N].
 */
export const columnSumOp: Op<{ scales?: Scales }, "x"> = {
  name: "columnSum",
  outputs({ x }, { scales }) {
    const [batch, m, n] = expectActivation(x, "x", [-1, -1, -1]).shape;
    expect(n % 4 === 0, `width ${n} is not a multiple of 4`);
    expectScales(scales, batch);
    return [
      { shape: [batch, n], dtype: "f32" },
      { shape: [batch, groups(m, chunkRows(m)), n], dtype: "f32" },
    ];
  },
  kernels({ inputs: { x }, outputs: [sums, partial], attrs: { scales } }, target) {
    const [batch, rows, width] = x.shape;
    const chunk = chunkRows(rows);
    const chunks = groups(rows, chunk);
    return [
      columnSumKernel(target, [x, partial], { batch, rows, width, chunk }),
      columnSumKernel(target, [partial, sums], { batch, rows: chunks, width, chunk: chunks }, scales),
    ];
  },
  cost: (call) => ({ flops: elementCount(call.inputs.x.shape), bytes: bytesOf(call) }),
};

/** Rows that a workgroup adds up: enough chunks to fill a GPU, few enough for one workgroup. */
function chunkRows(rows: number): number {
  return Math.ceil(rows / Math.min(256, groups(rows, 128)));
}
