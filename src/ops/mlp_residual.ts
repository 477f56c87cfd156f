import mlpResidualWgsl from "../../shaders/mlp_residual.wgsl";
import mlpResidualBackwardWgsl from "../../shaders/mlp_residual_backward.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { bytesOf, dim, elementwiseCost, expect, expectActivation } from "./common.js";
import { sweep } from "./elementwise.js";

function checkTokens(x: TensorSpec | undefined, name: string): TensorSpec {
  const { shape, dtype } = expectActivation(x, name, [-1, -1, -1]);
  expect(dim(x, 2) % 4 === 0, `width ${dim(x, 2)} is no multiple of 4`);
  return { shape, dtype };
}

function dispatch(target: Target, y: Tensor) {
  const { constants, workgroups } = sweep(target, elementCount(y.shape) / 4);
  const sizes = { TOKENS: dim(y, 1), WIDTH: dim(y, 2) };
  return { specialization: { constants: { ...constants, ...sizes }, types: { Act: y.dtype } }, workgroups };
}

/**
 * What a block's MLP adds, with the cls token's own rule (METHOD §2): x1, norm2 and mlp, each [B, T, D] → x1 + norm2 in the first row of each sample,
 * x1 + mlp in the others.
 */
export const mlpResidualOp: Op<Record<string, never>> = {
  name: "mlpResidual",
  outputs([x1, norm2, mlp]) {
    const spec = checkTokens(x1, "x1");
    expectActivation(norm2, "norm2", spec.shape, x1);
    expectActivation(mlp, "mlp", spec.shape, x1);
    return [spec];
  },
  kernels({ inputs, outputs }, target) {
    const [x1, norm2, mlp] = inputs as [Tensor, Tensor, Tensor];
    const y = outputs[0];
    const { specialization, workgroups } = dispatch(target, y);
    return [
      {
        label: "mlp residual",
        wgsl: specialize(mlpResidualWgsl, specialization),
        entryPoint: "mlpResidual",
        bindings: { x1, norm2, mlp, y },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 1),
  gradient(_, gradients, graph, [, norm2, mlp]) {
    const dy = gradients[0] as Tensor;
    const [dNorm2, dMlp] = norm2 || mlp ? graph.apply(mlpResidualBackwardOp, [dy], {}) : [];
    return [dy, dNorm2, dMlp];
  },
};

/** The gradient of {@link mlpResidualOp} with respect to norm2 and mlp (that of x1 is dy itself): dy [B, T, D] → two of its shape. */
export const mlpResidualBackwardOp: Op<Record<string, never>> = {
  name: "mlpResidualBackward",
  outputs([dy]) {
    const spec = checkTokens(dy, "dy");
    return [spec, spec];
  },
  kernels({ inputs, outputs }, target) {
    const [dy] = inputs as [Tensor];
    const [dNorm2, dMlp] = outputs as [Tensor, Tensor];
    const { specialization, workgroups } = dispatch(target, dy);
    return [
      {
        label: "mlp residual backward",
        wgsl: specialize(mlpResidualBackwardWgsl, specialization),
        entryPoint: "mlpResidualBackward",
        bindings: { dy, dNorm2, dMlp },
        workgroups,
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
