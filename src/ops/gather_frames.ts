// Takes listed raw frames, or the motion between them, and resizes them into the images of a step.
import type { Op } from "../graph/graph.js";
import { dim, expect, expectShape, sampleWords } from "./common.js";
import { type ResizeAttrs, rawSlotWords, resizeKernel } from "./resize.js";

type GatherInputs = "raw" | "columns" | "rows" | "listed" | "images";

/**
 * Both ops: raw frames [slots, slot words], tables, a list, and the images [n, H, W] that are
 * updated in place.
 */
function gatherOp(name: string, difference: boolean): Op<ResizeAttrs, GatherInputs> {
  return {
    name,
    inPlace: ["images"],
    outputs({ raw, columns, rows, listed, images }, { source, size }) {
      const words = dim(expectShape(raw, "raw frames", [-1, -1]), 1);
      expect(
        words >= rawSlotWords(source),
        `slots of ${words} words are too small for a frame of ${source.width}x${source.height}`,
      );
      expectShape(columns, "column table", [size.width]);
      expectShape(rows, "row table", [size.height]);
      const n = dim(expectShape(listed, "the list", difference ? [-1, sampleWords] : [-1]), 0);
      return [expectShape(images, "images", [n, size.height, size.width])];
    },
    kernels({ inputs: { raw, columns, rows, listed }, outputs: [resized], attrs }) {
      const bindings = { raw, columns, rows, [difference ? "samples" : "slots"]: listed, resized };
      return [resizeKernel({ difference, gather: true }, dim(listed, 0), dim(raw, 1), attrs, bindings)];
    },
    cost({ inputs: { listed }, attrs: { source, size } }) {
      const read = (difference ? 2 : 1) * rawSlotWords(source);
      return { flops: 0, bytes: dim(listed, 0) * 4 * (read + size.height * size.width) };
    },
  };
}

/**
 * Resizes the raw frames of the listed slots [n] to images [n, H, W] in that order; noSlot leaves
 * an image as it is.
 */
export const gatherFramesOp = gatherOp("gatherFrames", false);

/**
 * Motion gradients of listed samples [B, sampleWords] as images [B, H, W]; a sample without a frame
 * before it leaves its image as it is.
 */
export const gatherMotionOp = gatherOp("gatherMotion", true);
