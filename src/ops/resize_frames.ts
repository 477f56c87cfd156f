import type { Op } from "../graph/graph.js";
import { dim, expectShape } from "./common.js";
import { type ResizeAttrs, rawSlotWords, resizeKernel } from "./resize.js";

interface ResizeFramesAttrs extends ResizeAttrs {
  /** How many frames are new in a usual step. */
  perStep: number;
}

/**
 * Resizes the raw frames of the listed slots, up to the first noSlot, into the same slots of a
 * ring, which it updates in place.
 */
export const resizeFramesOp: Op<ResizeFramesAttrs, "raw" | "columns" | "rows" | "slots" | "ring"> = {
  name: "resizeFrames",
  inPlace: ["ring"],
  outputs({ raw, columns, rows, slots, ring }, { source, size }) {
    expectShape(raw, "raw frames", [dim(ring, 0), rawSlotWords(source)]);
    expectShape(columns, "column table", [size.width]);
    expectShape(rows, "row table", [size.height]);
    expectShape(slots, "slots", [-1]);
    return [expectShape(ring, "ring of resized frames", [-1, size.height, size.width])];
  },
  kernels({ inputs: { raw, columns, rows, slots }, outputs: [resized], attrs }) {
    const bindings = { raw, columns, rows, slots, resized };
    return [resizeKernel({}, attrs.perStep, dim(raw, 1), attrs, bindings)];
  },
  cost({ attrs: { source, size, perStep } }) {
    return { flops: 0, bytes: perStep * 4 * (rawSlotWords(source) + size.height * size.width) };
  },
};
