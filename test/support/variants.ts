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
