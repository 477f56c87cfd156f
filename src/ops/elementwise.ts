import type { Target } from "../gpu/gpu.js";
import { groups } from "./common.js";

/** Invocations per workgroup of the kernels that compute each value alone. */
const lanes = 256;

/**
 * How many workgroups go over `count` items, and their kernel's constants. If there are more items
 * than invocations, each takes every STRIDE-th. A GPU gets up to as many workgroups as WebGPU
 * allows in one dimension. A software adapter runs them one after the other on a core, where loops
 * cost half as much as workgroups.
 */
export function sweep(
  { adapter }: Target,
  count: number,
): { constants: { COUNT: number; STRIDE: number }; workgroups: readonly [number, number, number] } {
  const workgroups = Math.min(groups(count, lanes), adapter.kind === "gpu" ? 65535 : 256);
  return {
    constants: {
      COUNT: count,
      STRIDE: lanes * workgroups,
    },
    workgroups: [workgroups, 1, 1],
  };
}
