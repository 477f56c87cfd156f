// The gradient of the MLP's residual, and what it shares with the forward pass.
import mlpResidualBackwardWgsl from "../../shaders/mlp_residual_backward.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type NoAttrs, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation } from "./common.js";
import { sweep } from "./elementwise.js";

/**
 * The gradient of the MLP's residual with respect to norm2 and mlp (that of x1 is dy itself): dy
 * [B, T, D] → two of its shape.
 */
export const mlpResidualBackwardOp: Op<NoAttrs, "dy"> = {
  name: "mlpResidualBackward",
  outputs({ dy }) {
    const spec = expectTokens(dy, "dy");
    return [spec, spec];
  },
  kernels({ inputs: { dy }, outputs: [dNorm2, dMlp] }, target) {
    const { specialization, workgroups } = tokenSweep(target, dy);
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

/** The spec of x [B, T, D]. */
export function expectTokens(x: TensorSpec, name: string): TensorSpec {
  const { shape, dtype } = expectActivation(x, name, [-1, -1, -1]);
  expect(dim(x, 2) % 4 === 0, `width ${dim(x, 2)} is not a multiple of 4`);
  return { shape, dtype };
}

/** How a kernel goes over the values of y [B, T, D]. */
export function tokenSweep(target: Target, y: Tensor) {
  const { constants, workgroups } = sweep(target, elementCount(y.shape) / 4);
  const sizes = { TOKENS: dim(y, 1), WIDTH: dim(y, 2) };
  return { specialization: { constants: { ...constants, ...sizes }, types: { Act: y.dtype } }, workgroups };
}
