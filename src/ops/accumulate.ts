import accumulateWgsl from "../../shaders/accumulate.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type NoAttrs, type Op } from "../graph/graph.js";
import { expect } from "./common.js";
import { sweep } from "./elementwise.js";

/**
 * total + value, in place: a state (or a slice of one) of any shape and a value of as many elements
 * → total.
 */
export const accumulateOp: Op<NoAttrs, "total" | "value"> = {
  name: "accumulate",
  inPlace: ["total"],
  outputs({ total, value }) {
    expect(
      elementCount(total.shape) === elementCount(value.shape),
      `a value of the shape [${value.shape}] does not fit a total of [${total.shape}]`,
    );
    expect(value.dtype === total.dtype, `a value of ${value.dtype} cannot be added to a total of ${total.dtype}`);
    return [{ shape: total.shape, dtype: "f32" }];
  },
  kernels({ inputs: { total, value } }, target) {
    const { constants, workgroups } = sweep(target, elementCount(total.shape));
    return [
      {
        label: "accumulate",
        wgsl: specialize(accumulateWgsl, { constants }),
        entryPoint: "accumulate",
        bindings: { total, value },
        workgroups,
      },
    ];
  },
  cost: ({ inputs: { total } }) => ({ flops: elementCount(total.shape), bytes: 3 * byteSize(total) }),
};
