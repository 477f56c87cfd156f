import noiseWgsl from "../../shaders/noise.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups, sampleWords } from "./common.js";

/** Uniform noise [B, L] from a seed [1] and the frame numbers of samples [B, sampleWords]. */
export const noiseOp: Op<{ tokens: number }, "samples" | "seed"> = {
  name: "noise",
  outputs({ samples, seed }, { tokens }) {
    expectShape(samples, "samples", [-1, sampleWords]);
    expectShape(seed, "seed", [1]);
    return [{ shape: [dim(samples, 0), tokens], dtype: "f32" }];
  },
  kernels({ inputs: { samples, seed }, outputs: [noise], attrs: { tokens } }) {
    return [
      {
        label: "noise",
        wgsl: specialize(noiseWgsl, { constants: { TOKENS: tokens } }),
        entryPoint: "fill",
        bindings: { samples, seed, noise },
        workgroups: [groups(tokens, 64), dim(samples, 0), 1],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
