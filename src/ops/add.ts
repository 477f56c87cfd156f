// a + b, and how autodiff adds gradients with it.
import addWgsl from "../../shaders/add.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Add } from "../graph/autodiff.js";
import { elementCount, type NoAttrs, type Op } from "../graph/graph.js";
import { elementwiseCost, expectActivation } from "./common.js";
import { sweep } from "./elementwise.js";

/** a + b of one shape. */
export const addOp: Op<NoAttrs, "a" | "b"> = {
  name: "add",
  outputs({ a, b }) {
    const { shape, dtype } = expectActivation(b, "b", a.shape, a);
    return [{ shape, dtype }];
  },
  kernels({ inputs: { a, b }, outputs: [y] }, target) {
    const count = elementCount(y.shape);
    const vectors = count % 4 === 0;
    const { constants, workgroups } = sweep(target, vectors ? count / 4 : count);
    return [
      {
        label: "add",
        wgsl: specialize(addWgsl, { constants, types: { Act: y.dtype }, flags: { VECTORS: vectors } }),
        entryPoint: "add",
        bindings: vectors ? { a, b, y } : { singleA: a, singleB: b, singleY: y },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 1),
  gradient: (_, dy) => ({ a: dy, b: dy }),
};

/** Adds two tensors by {@link addOp}: what differentiation sums gradients with. */
export const addTo: Add = (graph, a, b) => graph.apply(addOp, { a, b }, {})[0];
