import type { Target } from "../../src/gpu/gpu.js";
import type { Op } from "../../src/graph/graph.js";

/** An op with the kernels that a real GPU gets, for the tests' software adapters: these run them as well, slowly. */
export function asOnGpu<A>(op: Op<A>): Op<A> {
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
