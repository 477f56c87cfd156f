import unshuffleWgsl from "../../shaders/unshuffle.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { NoAttrs, Op } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";
import { unshuffleBackwardOp } from "./unshuffle_backward.js";

/**
 * Kept tokens x [B, 1 + keep, D], mask token [D], idsRestore [B, L] → [B, 1 + L, D]; the cls token
 * stays in front.
 */
export const unshuffleOp: Op<NoAttrs, "x" | "maskToken" | "idsRestore"> = {
  name: "unshuffle",
  outputs({ x, maskToken, idsRestore }) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [b, kept, width] = shape;
    expect(width % 4 === 0, `width ${width} is not a multiple of 4`);
    expectShape(maskToken, "mask token", [width]);
    const tokens = dim(expectShape(idsRestore, "idsRestore", [b, -1]), 1);
    expect(kept - 1 <= tokens, `${kept - 1} tokens cannot be kept of ${tokens}`);
    return [{ shape: [b, 1 + tokens, width], dtype }];
  },
  kernels({ inputs: { x, maskToken, idsRestore }, outputs: [y] }) {
    const [b, kept, width] = x.shape;
    const tokens = dim(idsRestore, 1);
    return [
      {
        label: "unshuffle",
        wgsl: specialize(unshuffleWgsl, {
          constants: { WIDTH: width, TOKENS: tokens, KEEP: kept - 1 },
          types: { Act: x.dtype },
        }),
        entryPoint: "unshuffle",
        bindings: { x, maskToken, idsRestore, y },
        workgroups: [groups(((1 + tokens) * width) / 4, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
  gradient({ inputs: { x, idsRestore } }, dy, graph) {
    const [dx, dMaskToken] = graph.apply(unshuffleBackwardOp, { dy, idsRestore }, { keep: dim(x, 1) - 1 });
    return { x: dx, maskToken: dMaskToken };
  },
};
