import patchesWgsl from "../../shaders/patches.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { type ActivationType, byteSize, elementCount, type Op } from "../graph/graph.js";
import { dim, expect, expectShape, groups, sampleWords } from "./common.js";

/**
 * The pixels of kept tokens as rows: frames [slots, H, W] packed, samples [B, sampleWords], idsKeep
 * [B, keep] → [1, B·keep, 9·P·P] in −1…1, as f32, or as f16 for mixed precision. A row is laid out
 * like a filter of PyTorch's weight [D, 9, P, P] (channel = frame and B, G, R; then row; then
 * column), so that patch embedding is a linear layer of that weight. Frames are data, so there is
 * no gradient.
 */
export const patchesOp: Op<{ patch: number; dtype: ActivationType }, "frames" | "samples" | "idsKeep"> = {
  name: "patches",
  outputs({ frames, samples, idsKeep }, { patch, dtype }) {
    const [, h, w] = expectShape(frames, "frames", [-1, -1, -1]).shape;
    expect(patch % 4 === 0, `patch ${patch} is not a multiple of 4`);
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is not a multiple of the patch, ${patch}`);
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const keep = dim(expectShape(idsKeep, "idsKeep", [b, -1]), 1);
    return [{ shape: [1, b * keep, 9 * patch * patch], dtype }];
  },
  kernels({ inputs: { frames, samples, idsKeep }, outputs: [patches], attrs: { patch, dtype } }) {
    const [, h, w] = frames.shape;
    const [b, keep] = idsKeep.shape;
    const constants = { PATCH: patch, GRID_WIDTH: w / patch, TOKENS: (h * w) / patch ** 2, KEEP: keep };
    return [
      {
        label: "patches",
        wgsl: specialize(patchesWgsl, { constants, types: { Act: dtype } }),
        entryPoint: "patchRows",
        bindings: { frames, samples, idsKeep, patches },
        workgroups: [groups((keep * 3 * patch * patch) / 4, 64), b, 1],
      },
    ];
  },
  // All frames of the ring are an input, but only those of the samples count.
  cost({ outputs: [patches] }) {
    const count = elementCount(patches.shape);
    return { flops: 2 * count, bytes: byteSize(patches) + (4 * count) / 3 };
  },
};
