import convolveBackwardWgsl from "../../shaders/convolve_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, expect, expectActivation, expectShape } from "./common.js";
import { type Grid, tokenRuns } from "./convolution.js";

/**
 * The convolutions' gradient: dy [3, B, 1 + rows·columns, D], weight by taps [9, 3, D] → dx [B, 1 +
 * rows·columns, D].
 */
export const convolveBackwardOp: Op<Grid, "dy" | "taps"> = {
  name: "convolveBackward",
  outputs({ dy, taps }, { rows, columns }) {
    const { shape, dtype } = expectActivation(dy, "dy", [3, -1, 1 + rows * columns, -1]);
    const [, b, tokens, width] = shape;
    expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
    expectShape(taps, "taps", [9, 3, width]);
    return [{ shape: [b, tokens, width], dtype }];
  },
  kernels({ inputs: { dy, taps }, outputs: [dx], attrs }, target) {
    const { constants, workgroups } = tokenRuns(target, dx, attrs);
    return [
      {
        label: "depthwise conv backward",
        wgsl: specialize(convolveBackwardWgsl, { constants, types: { Act: dy.dtype } }),
        entryPoint: "convolveBackward",
        bindings: { dy, taps, dx },
        workgroups,
      },
    ];
  },
  cost: (call) => ({ flops: 18 * elementCount(call.inputs.dy.shape), bytes: bytesOf(call) }),
};
