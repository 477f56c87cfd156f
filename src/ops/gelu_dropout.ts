import geluDropoutWgsl from "../../shaders/gelu_dropout.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { elementwiseCost } from "./common.js";
import { type DropoutAttrs, dropoutSweep, expectDropout, geluDropoutBackwardOp } from "./gelu_dropout_backward.js";

/**
 * Exact GELU, then dropout: x of any shape, seed [2] (the run's seed, the number of the step) → y
 * as x. Dropout zeroes random values and divides the others by 1 − rate. The mask is a function of
 * seed, step, layer and place alone.
 */
export const geluDropoutOp: Op<DropoutAttrs, "x" | "seed"> = {
  name: "geluDropout",
  outputs: ({ x, seed }, attrs) => [expectDropout(x, seed, attrs)],
  kernels({ inputs: { x, seed }, outputs: [y], attrs }, target) {
    const { specialization, workgroups } = dropoutSweep(target, x, attrs);
    return [
      {
        label: "gelu dropout",
        wgsl: specialize(geluDropoutWgsl, specialization),
        entryPoint: "geluDropout",
        bindings: { x, y, seed: attrs.rate > 0 ? seed : undefined },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 20),
  gradient({ inputs: { x, seed }, attrs }, dy, graph) {
    return { x: graph.apply(geluDropoutBackwardOp, { x, seed, dy }, attrs)[0] };
  },
};
