import type { Target } from "../../src/gpu/gpu.js";
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
