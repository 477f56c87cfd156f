import patchEmbedWgsl from "../../shaders/patch_embed.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Op, Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectShape, groups, sampleWords, sizes } from "./common.js";

/**
 * Embeds kept tokens only: frames [slots, H, W] packed, samples [B, sampleWords], idsKeep [B, keep], weight [3, P, P, 3, D],
 * bias [D] → [B, keep, D].
 */
export const patchEmbedOp: Op<{ patch: number }> = {
  name: "patchEmbed",
  outputs([frames, samples, idsKeep, weight, bias], { patch }) {
    const [, h, w] = expectShape(frames, "frames", [-1, -1, -1]).shape as [number, number, number];
    expect(h % patch === 0 && w % patch === 0, `size ${h}x${w} is no multiple of the patch, ${patch}`);
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const keep = dim(expectShape(idsKeep, "idsKeep", [b, -1]), 1);
    const width = dim(expectShape(weight, "weight", [3, patch, patch, 3, -1]), 4);
    expectShape(bias, "bias", [width]);
    expect(width % 4 === 0, `width ${width} is no multiple of 4`);
    return [{ shape: [b, keep, width], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { patch } }) {
    const [frames, samples, idsKeep, weight, bias] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const y = outputs[0] as Tensor;
    const [b, keep, width] = y.shape as [number, number, number];
    const [, h, w] = frames.shape as [number, number, number];
    const rows = 4;
    const lanes = Math.min(64, width / 4);
    return [
      {
        label: "patch embed",
        wgsl: specialize(patchEmbedWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: w / patch,
            TOKENS: (h * w) / patch ** 2,
            KEEP: keep,
            WIDTH: width,
            ROWS: rows,
            LANES: lanes,
          },
        }),
        entryPoint: "patchEmbed",
        bindings: { frames, samples, idsKeep, weight, bias, y },
        workgroups: [groups(width / 4, lanes), groups(keep, rows), b],
      },
    ];
  },
  cost(call) {
    const [b, keep, width] = sizes(call.outputs[0]);
    return { flops: 2 * b * keep * width * call.attrs.patch ** 2 * 9, bytes: bytesOf(call) };
  },
};

/** A convolution's weight [D, 9, P, P] (channels: frame, then B, G, R) in the kernel's layout [3, P, P, 3, D]. */
export function packPatchWeight(weight: Float32Array, width: number, patch: number): Float32Array {
  const packed = new Float32Array(weight.length);
  const area = patch * patch;
  for (let d = 0; d < width; d++) {
    for (let t = 0; t < 3; t++) {
      for (let pixel = 0; pixel < area; pixel++) {
        for (let c = 0; c < 3; c++) {
          packed[((t * area + pixel) * 3 + c) * width + d] = weight[(d * 9 + t * 3 + c) * area + pixel] as number;
        }
      }
    }
  }
  return packed;
}
