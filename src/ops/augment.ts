// Changes light, noise and position of samples, as cameras do.
import augmentWgsl from "../../shaders/augment.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { NoAttrs, Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups } from "./common.js";

/** How one frame of a sample changes. */
export interface FrameChange {
  /** Colours become value · gain + bias. */
  gain: number;
  bias: number;
  /** Where its pixels come from: so many pixels to the right and below. Whole numbers. */
  x: number;
  y: number;
}

/** How a sample changes: its previous, current and next frame. */
export interface Augmentation {
  frames: readonly [FrameChange, FrameChange, FrameChange];
  /** Standard deviation of noise, in grey levels. */
  noise: number;
  /** Of the noise. */
  seed: number;
}

/** Words of the `Augmentation` struct that the kernel reads. */
export const augmentationWords = 16;

/** A frame that stays as it is. */
const unchanged: FrameChange = { gain: 1, bias: 0, x: 0, y: 0 };

/** Packs augmentations as the kernel reads them, one per sample; undefined changes nothing. */
export function packAugmentations(all: readonly (Augmentation | undefined)[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(all.length * augmentationWords);
  const [floats, integers] = [new Float32Array(words.buffer), new Int32Array(words.buffer)];
  for (const [i, augmentation] of all.entries()) {
    const { frames = [unchanged, unchanged, unchanged], noise = 0, seed = 0 } = augmentation ?? {};
    const first = i * augmentationWords;
    for (const [t, { gain, bias, x, y }] of frames.entries()) {
      floats.set([gain, bias], first + 4 * t);
      integers.set([x, y], first + 4 * t + 2);
    }
    floats[first + 12] = noise;
    words[first + 13] = seed;
  }
  return words;
}

/**
 * Changes samples: frames [3B, H, W] packed (sample b's previous, current and next frame at 3b,
 * 3b + 1, 3b + 2), targets [B, H, W] with masks in the highest byte, augmentations
 * [B, augmentationWords] → frames and targets of the same shapes. A target changes like the current
 * frame, but without noise.
 */
export const augmentOp: Op<NoAttrs, "frames" | "targets" | "augmentations"> = {
  name: "augment",
  outputs({ frames, targets, augmentations }) {
    const [b, height, width] = expectShape(targets, "targets", [-1, -1, -1]).shape;
    expectShape(frames, "frames", [3 * b, height, width]);
    expectShape(augmentations, "augmentations", [b, augmentationWords]);
    return [
      { shape: frames.shape, dtype: "u32" },
      { shape: targets.shape, dtype: "u32" },
    ];
  },
  kernels({ inputs: { frames, targets, augmentations }, outputs: [augmented, changed] }) {
    const [, height, width] = changed.shape;
    return [
      {
        label: "augment",
        wgsl: specialize(augmentWgsl, { constants: { HEIGHT: height, WIDTH: width } }),
        entryPoint: "augment",
        bindings: { frames, targets, augmentations, augmented, changed },
        workgroups: [groups(width, 64), height, dim(changed, 0)],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};
