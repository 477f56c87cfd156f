import patchesWgsl from "../../shaders/patches.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Op, type Tensor } from "../graph/graph.js";
import { dim, expect, expectShape, groups, sampleWords } from "./common.js";

/**
 * The pixels of kept tokens as rows: frames [slots, H, W] packed, samples [B, sampleWords], idsKeep [B, keep] → [1, B·keep, 9·P·P] in
 * −1…1. A row is laid out as a filter of PyTorch's weight [D, 9, P, P] is (channel = frame and B, G, R; then row; then column), so that patch
 * embedding is a linear layer of that weight; as f32, or as f16 for mixed precision. Frames are data: it has no gradient.
 */
export const patchesOp: Op<{ patch: number; dtype: "f32" | "f16" }> = {
  name: "patches",
  outputs([frames, samples, idsKeep], { patch, dtype }) {
    const [, h, w] = expectShape(frames, "frames", [-1, -1, -1]).shape as [number, number, number];
    expect(patch % 4 === 0, `patch ${patch} is no multiple of 4`);
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is no multiple of the patch, ${patch}`);
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const keep = dim(expectShape(idsKeep, "idsKeep", [b, -1]), 1);
    return [{ shape: [1, b * keep, 9 * patch * patch], dtype }];
  },
  kernels({ inputs, outputs, attrs: { patch, dtype } }) {
    const [frames, samples, idsKeep] = inputs as [Tensor, Tensor, Tensor];
    const [, h, w] = frames.shape as [number, number, number];
    const [b, keep] = idsKeep.shape as [number, number];
    const constants = { PATCH: patch, GRID_WIDTH: w / patch, TOKENS: (h * w) / patch ** 2, KEEP: keep };
    return [
      {
        label: "patches",
        wgsl: specialize(patchesWgsl, { constants, types: { Act: dtype } }),
        entryPoint: "patchRows",
        bindings: { frames, samples, idsKeep, patches: outputs[0] },
        workgroups: [groups((keep * 3 * patch * patch) / 4, 64), b, 1],
      },
    ];
  },
  // All frames may be in the ring; those of the samples count.
  cost(call) {
    const patches = call.outputs[0];
    const count = elementCount(patches.shape);
    return { flops: 2 * count, bytes: byteSize(patches) + (4 * count) / 3 };
  },
};
