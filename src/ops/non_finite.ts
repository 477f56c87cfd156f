import nonFiniteWgsl from "../../shaders/non_finite.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { NoAttrs, Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups } from "./common.js";

/**
 * Whether any of the gradients [n] is not finite: [parts] u32, 1 for each part of the gradients
 * that has one.
 */
export const nonFiniteOp: Op<NoAttrs, "gradients"> = {
  name: "nonFinite",
  outputs({ gradients }) {
    const n = dim(expectShape(gradients, "gradients", [-1]), 0);
    return [{ shape: [Math.min(256, groups(n, 256))], dtype: "u32" }];
  },
  kernels({ inputs: { gradients }, outputs: [found] }) {
    const parts = dim(found, 0);
    return [
      {
        label: "non-finite",
        wgsl: specialize(nonFiniteWgsl, { constants: { COUNT: dim(gradients, 0), STRIDE: 256 * parts } }),
        entryPoint: "nonFinite",
        bindings: { gradients, found },
        workgroups: [parts, 1, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
