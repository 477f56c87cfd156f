import adamwWgsl from "../../shaders/adamw.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Op, type Tensor } from "../graph/graph.js";
import { dim, expectShape } from "./common.js";
import { sweep } from "./elementwise.js";

/**
 * A step of AdamW as PyTorch computes it: parameters, gradients, first and second moments, each [n] and a state (or slice) of its own, all updated
 * in place; hyper [8]: learning rate, β1, β2, ε, weight decay, 1 − β1^t, √(1 − β2^t), and what gradients are multiplied by first, where 0 leaves
 * the step out. Gradients are zero afterwards.
 */
export const adamWOp: Op<Record<string, never>> = {
  name: "adamW",
  inPlace: [0, 1, 2, 3],
  outputs([parameters, gradients, m, v, hyper]) {
    const n = dim(expectShape(parameters, "parameters", [-1]), 0);
    expectShape(gradients, "gradients", [n]);
    expectShape(m, "first moments", [n]);
    expectShape(v, "second moments", [n]);
    expectShape(hyper, "hyper", [8]);
    return Array.from({ length: 4 }, () => ({ shape: [n], dtype: "f32" }));
  },
  kernels({ inputs }, target) {
    const [parameters, gradients, m, v, hyper] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const { constants, workgroups } = sweep(target, dim(parameters, 0));
    return [
      {
        label: "adamw",
        wgsl: specialize(adamwWgsl, { constants }),
        entryPoint: "step",
        bindings: { parameters, gradients, m, v, hyper },
        workgroups,
      },
    ];
  },
  cost({ outputs }) {
    const parameters = outputs[0];
    return { flops: 16 * elementCount(parameters.shape), bytes: 8 * byteSize(parameters) };
  },
};
