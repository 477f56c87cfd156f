// The gradient of GELU with dropout, and what it shares with the forward pass: both draw the same
// mask.
import geluDropoutBackwardWgsl from "../../shaders/gelu_dropout_backward.wgsl";
import type { Target } from "../gpu/gpu.js";
import { type Specialization, specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { elementwiseCost, expect, expectActivation, expectShape } from "./common.js";
import { sweep } from "./elementwise.js";

export interface DropoutAttrs {
  /** Share of values to drop, 0 to less than 1; 0 leaves dropout out. */
  rate: number;
  /** The place in the network: each has its own mask. */
  layer: number;
}

/**
 * The gradient of GELU with dropout under the same mask: x of any shape, seed [2], dy as x → dx.
 */
export const geluDropoutBackwardOp: Op<DropoutAttrs, "x" | "seed" | "dy"> = {
  name: "geluDropoutBackward",
  outputs({ x, seed, dy }, attrs) {
    const spec = expectDropout(x, seed, attrs);
    expectActivation(dy, "dy", spec.shape, x);
    return [spec];
  },
  kernels({ inputs: { x, seed, dy }, outputs: [dx], attrs }, target) {
    const { specialization, workgroups } = dropoutSweep(target, x, attrs);
    return [
      {
        label: "gelu dropout backward",
        wgsl: specialize(geluDropoutBackwardWgsl, specialization),
        entryPoint: "geluDropoutBackward",
        bindings: { x, dy, dx, seed: attrs.rate > 0 ? seed : undefined },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 24),
};

/** The spec of a result, as x has it. */
export function expectDropout(x: TensorSpec, seed: TensorSpec, { rate }: DropoutAttrs): TensorSpec {
  const { shape, dtype } = expectActivation(x, "x", x.shape);
  expect(elementCount(shape) % 4 === 0, `[${shape}] has a number of values that is not a multiple of 4`);
  expect(rate >= 0 && rate < 1, `dropout at a rate of ${rate}, which is not from 0 to less than 1`);
  expectShape(seed, "seed", [2]);
  return { shape, dtype };
}

/** How a kernel with dropout goes over x's values. */
export function dropoutSweep(target: Target, x: Tensor, { rate, layer }: DropoutAttrs) {
  const { constants, workgroups } = sweep(target, elementCount(x.shape) / 4);
  const dropped = Math.min(Math.round(rate * 2 ** 32), 2 ** 32 - 1);
  const specialization: Specialization = {
    constants: { ...constants, LAYER: layer, DROP: dropped, SCALE: 1 / (1 - rate) },
    types: { Act: x.dtype },
    flags: { DROPOUT: rate > 0 },
  };
  return { specialization, workgroups };
}
