import { byteSize, type Op } from "../graph/graph.js";
import { dim, expectShape, sampleWords } from "./common.js";
import { type ResizeAttrs, rawSlotWords, resizeKernel } from "./resize.js";

/**
 * |frame[t−1] − frame[t+1]| at the source resolution, resized to [B, H, W]; one packed word per
 * pixel, as in frames.
 */
export const motionGradientOp: Op<ResizeAttrs, "raw" | "columns" | "rows" | "samples"> = {
  name: "motionGradient",
  outputs({ raw, columns, rows, samples }, { source, size }) {
    expectShape(raw, "raw frames", [-1, rawSlotWords(source)]);
    expectShape(columns, "column table", [size.width]);
    expectShape(rows, "row table", [size.height]);
    expectShape(samples, "samples", [-1, sampleWords]);
    return [{ shape: [dim(samples, 0), size.height, size.width], dtype: "u32" }];
  },
  kernels({ inputs: { raw, columns, rows, samples }, outputs: [resized], attrs }) {
    const bindings = { raw, columns, rows, samples, resized };
    return [resizeKernel({ difference: true }, dim(samples, 0), dim(raw, 1), attrs, bindings)];
  },
  cost({ inputs: { samples }, outputs: [resized], attrs: { source } }) {
    return { flops: 0, bytes: byteSize(resized) + dim(samples, 0) * 8 * rawSlotWords(source) };
  },
};
