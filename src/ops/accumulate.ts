import accumulateWgsl from "../../shaders/accumulate.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { expect } from "./common.js";
import { sweep } from "./elementwise.js";

/** total + value, in place: a state (or a slice of one) of any shape and a value of as many elements → total. */
export const accumulateOp: Op<Record<string, never>> = {
  name: "accumulate",
  inPlace: [0],
  outputs(inputs) {
    const [total, value] = inputs as [TensorSpec, TensorSpec];
    expect(
      elementCount(total.shape) === elementCount(value.shape),
      `a value of the shape [${value.shape}] does not fit a total of [${total.shape}]`,
    );
    expect(value.dtype === total.dtype, `a value of ${value.dtype} cannot be added to a total of ${total.dtype}`);
    return [{ shape: total.shape, dtype: "f32" }];
  },
  kernels({ inputs }, target) {
    const [total, value] = inputs as [Tensor, Tensor];
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
  cost({ outputs }) {
    const total = outputs[0];
    return { flops: elementCount(total.shape), bytes: 3 * byteSize(total) };
  },
};
