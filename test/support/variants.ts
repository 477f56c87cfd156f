// Variants of kernels: ops and targets for one that the tests' adapter would not choose.
import { expect } from "vitest";
import type { Gpu, MatrixUnit, Target } from "../../src/gpu/gpu.js";
import type { Op } from "../../src/graph/graph.js";

/** An op with the kernels of a real GPU. The tests' software adapters run them too, slowly. */
export function asOnGpu<A, N extends string, M extends string>(op: Op<A, N, M>): Op<A, N, M> {
  const { kernels } = op;
  const asGpu = ({ adapter, features, limits }: Target): Target => ({
    adapter: { ...adapter, kind: "gpu" },
    features,
    limits,
  });
  return { ...op, kernels: (call, target) => kernels.call(op, call, asGpu(target)) };
}

/** The target with a tuning table of one choice. */
export function choosing({ adapter, features, limits }: Target, key: string, name: string): Target {
  return { adapter, features, limits, tuning: new Map([[key, name]]) };
}

/**
 * The op with the kernels of another target.
 * @param label that each of them must have
 */
export function onTarget<A, N extends string, M extends string>(
  op: Op<A, N, M>,
  target: Target,
  label: string,
): Op<A, N, M> {
  return {
    ...op,
    kernels: (call) => {
      const kernels = op.kernels(call, target);
      for (const kernel of kernels) expect(kernel.label).toBe(label);
      return kernels;
    },
  };
}

/**
 * A target that has what GPUs have.
 * @param lanes of a subgroup
 * @param choice the entry of its tuning table
 */
export function gpuTarget(
  { adapter, features, limits }: Gpu,
  lanes: number,
  ...choice: [key: string, name: string][]
): Target {
  const matrixUnits: MatrixUnit[] = [{ input: "f16", result: "f32", m: 16, n: 16, k: 16 }];
  return {
    adapter: { ...adapter, kind: "gpu", subgroupSize: lanes, matrixUnits },
    features: new Set([...features, "chromium-experimental-subgroup-matrix"]),
    limits,
    tuning: new Map(choice),
  };
}
