import mlpResidualWgsl from "../../shaders/mlp_residual.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { NoAttrs, Op } from "../graph/graph.js";
import { elementwiseCost, expectActivation } from "./common.js";
import { expectTokens, mlpResidualBackwardOp, tokenSweep } from "./mlp_residual_backward.js";

/**
 * What a block's MLP adds, with the cls token's special rule (docs/method.md §2): x1, norm2 and
 * mlp, each [B, T, D] → x1 + norm2 in the first row of each sample, x1 + mlp in the others.
 */
export const mlpResidualOp: Op<NoAttrs, "x1" | "norm2" | "mlp"> = {
  name: "mlpResidual",
  outputs({ x1, norm2, mlp }) {
    const spec = expectTokens(x1, "x1");
    expectActivation(norm2, "norm2", spec.shape, x1);
    expectActivation(mlp, "mlp", spec.shape, x1);
    return [spec];
  },
  kernels({ inputs: { x1, norm2, mlp }, outputs: [y] }, target) {
    const { specialization, workgroups } = tokenSweep(target, y);
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
  gradient(_, dy, graph, needed) {
    const [norm2, mlp] = needed.norm2 || needed.mlp ? graph.apply(mlpResidualBackwardOp, { dy }, {}) : [];
    return { x1: dy, norm2, mlp };
  },
};
