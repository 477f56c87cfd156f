import geluDropoutWgsl from "../../shaders/gelu_dropout.wgsl";
import geluDropoutBackwardWgsl from "../../shaders/gelu_dropout_backward.wgsl";
import type { Target } from "../gpu/gpu.js";
import { type Specialization, specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { elementwiseCost, expect, expectActivation, expectShape } from "./common.js";
import { sweep } from "./elementwise.js";

interface DropoutAttrs {
  /** Share of values that are dropped, 0 to less than 1; 0 leaves dropout out. */
  rate: number;
  /** The place in the network: each has its own mask. */
  layer: number;
}

function checkInputs(x: TensorSpec | undefined, seed: TensorSpec | undefined, { rate }: DropoutAttrs): TensorSpec {
  const { shape, dtype } = expectActivation(x, "x", x?.shape ?? []);
  expect(elementCount(shape) % 4 === 0, `[${shape}] has a number of values that is no multiple of 4`);
  expect(rate >= 0 && rate < 1, `dropout at a rate of ${rate}, which is not from 0 to less than 1`);
  expectShape(seed, "seed", [2]);
  return { shape, dtype };
}

function dispatch(target: Target, x: Tensor, { rate, layer }: DropoutAttrs) {
  const { constants, workgroups } = sweep(target, elementCount(x.shape) / 4);
  const dropped = Math.min(Math.round(rate * 2 ** 32), 2 ** 32 - 1);
  const specialization: Specialization = {
    constants: { ...constants, LAYER: layer, DROP: dropped, SCALE: 1 / (1 - rate) },
    types: { Act: x.dtype },
    flags: { DROPOUT: rate > 0 },
  };
  return { specialization, workgroups };
}

/**
 * Exact GELU, then dropout: x of any shape, seed [2] (the run's seed, the number of the step) → y as x, values dropped at random and the others
 * divided by 1 − rate. The mask is a function of seed, step, layer and place alone.
 */
export const geluDropoutOp: Op<DropoutAttrs> = {
  name: "geluDropout",
  outputs: ([x, seed], attrs) => [checkInputs(x, seed, attrs)],
  kernels({ inputs, outputs, attrs }, target) {
    const [x, seed] = inputs as [Tensor, Tensor];
    const { specialization, workgroups } = dispatch(target, x, attrs);
    return [
      {
        label: "gelu dropout",
        wgsl: specialize(geluDropoutWgsl, specialization),
        entryPoint: "geluDropout",
        bindings: { x, y: outputs[0], ...(attrs.rate > 0 && { seed }) },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 20),
  gradient({ inputs: [x, seed], attrs }, [dy], graph) {
    return graph.apply(geluDropoutBackwardOp, [x, seed, dy] as [Tensor, Tensor, Tensor], attrs);
  },
};

/** The gradient of {@link geluDropoutOp} under the same mask: x, seed [2], dy as x → dx. */
export const geluDropoutBackwardOp: Op<DropoutAttrs> = {
  name: "geluDropoutBackward",
  outputs([x, seed, dy], attrs) {
    const spec = checkInputs(x, seed, attrs);
    expectActivation(dy, "dy", spec.shape, x);
    return [spec];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [x, seed, dy] = inputs as [Tensor, Tensor, Tensor];
    const { specialization, workgroups } = dispatch(target, x, attrs);
    return [
      {
        label: "gelu dropout backward",
        wgsl: specialize(geluDropoutBackwardWgsl, specialization),
        entryPoint: "geluDropoutBackward",
        bindings: { x, dy, dx: outputs[0], ...(attrs.rate > 0 && { seed }) },
        workgroups,
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 24),
};
