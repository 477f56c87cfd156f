import type { Target } from "../gpu/gpu.js";
import { groups } from "./common.js";

/** Invocations of a workgroup of the kernels that treat each value by itself. */
const lanes = 256;

/**
 * How many workgroups go over `count` items, and the constants that their kernel is told: where there are more items than invocations, each
 * takes every STRIDE-th. A GPU gets as many workgroups as WebGPU allows in a dimension; on a software adapter, which runs one
 * after the other on a core, loops are half as dear as workgroups.
 */
export function sweep(
  { adapter }: Target,
  count: number,
): { constants: { COUNT: number; STRIDE: number }; workgroups: readonly [number, number, number] } {
  const workgroups = Math.min(groups(count, lanes), adapter.kind === "gpu" ? 65535 : 256);
  return { constants: { COUNT: count, STRIDE: lanes * workgroups }, workgroups: [workgroups, 1, 1] };
}
