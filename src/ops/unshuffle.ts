import unshuffleWgsl from "../../shaders/unshuffle.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op, Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectShape, groups } from "./common.js";

/** Kept tokens x [B, 1 + keep, D], mask token [D], idsRestore [B, L] → [B, 1 + L, D]; the cls token stays in front. */
export const unshuffleOp: Op<Record<string, never>> = {
  name: "unshuffle",
  outputs([x, maskToken, idsRestore]) {
    const [b, kept, width] = expectShape(x, "x", [-1, -1, -1]).shape as [number, number, number];
    expect(width % 4 === 0, `width ${width} is no multiple of 4`);
    expectShape(maskToken, "mask token", [width]);
    const tokens = dim(expectShape(idsRestore, "idsRestore", [b, -1]), 1);
    expect(kept - 1 <= tokens, `${kept - 1} tokens cannot be kept of ${tokens}`);
    return [{ shape: [b, 1 + tokens, width], dtype: "f32" }];
  },
  kernels({ inputs, outputs }) {
    const [x, maskToken, idsRestore] = inputs as [Tensor, Tensor, Tensor];
    const [b, kept, width] = x.shape as [number, number, number];
    const tokens = dim(idsRestore, 1);
    return [
      {
        label: "unshuffle",
        wgsl: specialize(unshuffleWgsl, { constants: { WIDTH: width, TOKENS: tokens, KEEP: kept - 1 } }),
        entryPoint: "unshuffle",
        bindings: { x, maskToken, idsRestore, y: outputs[0] as Tensor },
        workgroups: [groups(((1 + tokens) * width) / 4, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
