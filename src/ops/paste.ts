// Pastes pseudo-anomalies into frames on the GPU, and packs what the host says about them.
import pasteWgsl from "../../shaders/paste.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { NoAttrs, Op } from "../graph/graph.js";
import { bytesOf, dim, expectShape, groups, sampleWords } from "./common.js";
import { noSlot } from "./resize.js";

/** How pasted pixels are blended in. */
export interface PasteLook {
  /** Colours become value · gain + bias. */
  gain: readonly [b: number, g: number, r: number];
  bias: number;
  /**
   * Differences from the background, in grey levels: pixels are pasted from `low` on, and fully
   * from `high` on.
   */
  low: number;
  high: number;
}

/** What is pasted into one of a sample's three frames; coordinates are pixels, centres at +0.5. */
export interface PasteFrame {
  /** a, b, c, d, tx, ty as gl-matrix's mat2d: from a pixel of the frame to one of the source. */
  affine: ArrayLike<number>;
  /** The window of the source: its centre, and half its sides. */
  box: { x: number; y: number; rx: number; ry: number };
  /** Whether to paste the whole window, not only its foreground. */
  plain: boolean;
  /** The slot of the source's frame. */
  slot: number;
}

/** A pseudo-anomaly as the GPU takes it. */
export interface Paste extends PasteLook {
  /** The slot of the source's background. */
  background: number;
  /**
   * Whether what is pasted counts as normal: then it belongs to the target. Its mask is 1, which
   * only says that the place counts for the loss.
   */
  normal?: boolean;
  /** Into the previous, the current and the next frame. */
  layers: readonly [PasteFrame, PasteFrame, PasteFrame];
}

/**
 * An abnormal clip made beforehand: whole frames, and the mask of what is abnormal in the current
 * one.
 */
export interface GivenAnomaly {
  /** Slots of the previous, the current and the next frame. */
  frames: readonly [number, number, number];
  /** The slot of the mask. A pixel is abnormal if any channel is at least 128. */
  mask: number;
}

/** Words of the `Paste` struct that the kernel reads. */
export const pasteWords = 44;

/**
 * Packs anomalies as the kernel reads them, as many for each sample; undefined leaves a sample's
 * frames as they are. Later ones cover earlier ones.
 */
export function packPastes(pastes: readonly (Paste | GivenAnomaly | undefined)[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(pastes.length * pasteWords);
  const floats = new Float32Array(words.buffer);
  for (const [i, paste] of pastes.entries()) {
    let at = i * pasteWords;
    if (!paste) {
      words[at + 6] = noSlot;
      continue;
    }
    if ("mask" in paste) {
      words.set([paste.mask, 1], at + 6);
      for (const [t, slot] of paste.frames.entries()) words[at + 8 + 12 * t + 10] = slot;
      continue;
    }
    floats.set([...paste.gain, paste.bias, paste.low, paste.high], at);
    words.set([paste.background, paste.normal ? 2 : 0], at + 6);
    at += 8;
    for (const { affine, box, plain, slot } of paste.layers) {
      floats.set([...Array.from(affine), box.x, box.y, box.rx, box.ry], at);
      words.set([slot, plain ? 1 : 0], at + 10);
      at += 12;
    }
  }
  return words;
}

/**
 * Pastes pseudo-anomalies: frames [slots, H, W] packed (training frames and backgrounds), samples
 * [B, sampleWords], pastes [B · n, pasteWords] → the samples' frames [3B, H, W] (sample b's
 * previous, current and next frame at 3b, 3b + 1, 3b + 2), and their targets [B, H, W]: the current
 * frame before anything abnormal was pasted, with the mask in the highest byte.
 */
export const pasteOp: Op<NoAttrs, "frames" | "samples" | "pastes"> = {
  name: "paste",
  outputs({ frames, samples, pastes }) {
    const [, height, width] = expectShape(frames, "frames", [-1, -1, -1]).shape;
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const [count] = expectShape(pastes, "pastes", [-1, pasteWords]).shape;
    if (count % b !== 0) throw new Error(`${count} pastes for ${b} samples: each needs as many`);
    return [
      { shape: [3 * b, height, width], dtype: "u32" },
      { shape: [b, height, width], dtype: "u32" },
    ];
  },
  kernels({ inputs: { frames, samples, pastes }, outputs: [pasted, targets] }) {
    const [b, height, width] = targets.shape;
    return [
      {
        label: "paste",
        wgsl: specialize(pasteWgsl, { constants: { HEIGHT: height, WIDTH: width, PASTES: dim(pastes, 0) / b } }),
        entryPoint: "paste",
        bindings: { frames, samples, pastes, pasted, targets },
        workgroups: [groups(width, 64), height, b],
      },
    ];
  },
  // A sample reads its three frames and four per object, though all of them are an input, and
  // writes four.
  cost: ({ inputs: { samples, pastes }, outputs }) => {
    const read = 3 + (4 * dim(pastes, 0)) / dim(samples, 0);
    return { flops: 0, bytes: ((read + 4) / 4) * bytesOf({ inputs: {}, outputs }) };
  },
};
