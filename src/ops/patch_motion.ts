import patchMotionWgsl from "../../shaders/patch_motion.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { bytesOf, dim, expect, expectShape, groups } from "./common.js";

/** The largest motion gradient of each token: [B, H, W] packed → [B, L], 0…255. */
export const patchMotionOp: Op<{ patch: number }, "gradient"> = {
  name: "patchMotion",
  outputs({ gradient }, { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape;
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is not a multiple of the patch, ${patch}`);
    return [{ shape: [b, (h * w) / patch ** 2], dtype: "f32" }];
  },
  kernels({ inputs: { gradient }, outputs: [motion], attrs: { patch } }) {
    const [b, tokens] = motion.shape;
    return [
      {
        label: "patch motion",
        wgsl: specialize(patchMotionWgsl, {
          constants: { PATCH: patch, GRID_WIDTH: dim(gradient, 2) / patch, TOKENS: tokens },
        }),
        entryPoint: "maximum",
        bindings: { gradient, motion },
        workgroups: [groups(tokens, 64), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
