import adamwWgsl from "../../shaders/adamw.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type NoAttrs, type Op } from "../graph/graph.js";
import { dim, expectShape } from "./common.js";
import { sweep } from "./elementwise.js";

/**
 * A step of AdamW as PyTorch computes it: parameters, gradients, first and second moments m and v,
 * each [n] and a state (or a slice of one), all updated in place; hyper [8]: learning rate, β1, β2,
 * ε, weight decay, 1 − β1^t, √(1 − β2^t), and a factor for the gradients; 0 leaves the step
 * out. Gradients are zero afterwards.
 */
export const adamWOp: Op<NoAttrs, "parameters" | "gradients" | "m" | "v" | "hyper"> = {
  name: "adamW",
  inPlace: ["parameters", "gradients", "m", "v"],
  outputs({ parameters, gradients, m, v, hyper }) {
    const n = dim(expectShape(parameters, "parameters", [-1]), 0);
    expectShape(gradients, "gradients", [n]);
    expectShape(m, "first moments", [n]);
    expectShape(v, "second moments", [n]);
    expectShape(hyper, "hyper", [8]);
    return Array.from({ length: 4 }, () => ({ shape: [n], dtype: "f32" }));
  },
  kernels({ inputs }, target) {
    const { constants, workgroups } = sweep(target, dim(inputs.parameters, 0));
    return [
      {
        label: "adamw",
        wgsl: specialize(adamwWgsl, { constants }),
        entryPoint: "step",
        bindings: inputs,
        workgroups,
      },
    ];
  },
  cost: ({ inputs: { parameters } }) => ({
    flops: 16 * elementCount(parameters.shape),
    bytes: 8 * byteSize(parameters),
  }),
};
