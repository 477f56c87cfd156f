// The frames of scoring on the GPU: a ring of raw slots, and a resized copy of each. A frame is
// resized once, although three samples use it.
import type { Graph, Tensor } from "../graph/graph.js";
import { motionGradientOp } from "./motion_gradient.js";
import { interpolationTables, rawSlotWords, type Size } from "./resize.js";
import { resizeFramesOp } from "./resize_frames.js";

/** A ring of raw frames, and the nodes that resize them. */
export interface FrameRing {
  /** `[slots, rawSlotWords(source)]`; the host writes raw frames here. */
  raw: Tensor;
  /** `[slots]`: the slots that the next step resizes, then noSlot. */
  slots: Tensor;
  /** [slots, height, width] packed B, G, R, 0. */
  resized: Tensor;
  /** Adds the motion gradient of samples [B, sampleWords]: [B, height, width] packed. */
  motionGradient(samples: Tensor): Tensor;
}

/**
 * Adds a ring of frames to a graph.
 * @param slots frames that it holds
 * @param perStep how many frames are new in a usual step; others may have more
 */
export function frameRing(graph: Graph, source: Size, size: Size, slots: number, perStep: number): FrameRing {
  const raw = graph.state("rawFrames", [slots, rawSlotWords(source)], "u32");
  const ring = graph.state("frames", [slots, size.height, size.width], "u32");
  const tables = interpolationTables(graph, source, size, ["columnTable", "rowTable"]);
  const newSlots = graph.input("newSlots", [slots], "u32");
  const attrs = { source, size };
  const [resized] = graph.apply(resizeFramesOp, { raw, ...tables, slots: newSlots, ring }, { ...attrs, perStep });
  return {
    raw,
    slots: newSlots,
    resized,
    motionGradient: (samples) => graph.apply(motionGradientOp, { raw, ...tables, samples }, attrs)[0],
  };
}
