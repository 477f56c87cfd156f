// The frames of training on the GPU: raw slots for frames of several sizes, and what a step takes
// from them.
import type { Graph, Tensor } from "../graph/graph.js";
import { sampleWords } from "./common.js";
import { gatherFramesOp, gatherMotionOp } from "./gather_frames.js";
import { interpolationTables, rawSlotWords, type Size } from "./resize.js";

/** Raw frames that stay on the GPU, and what a step takes from them. */
export interface FrameStore {
  /** [slots, slotWords]: the host writes raw frames here. */
  raw: Tensor;
  slotWords: number;
  /**
   * For each source size the slots [n] to take: {@link noSlot} for a frame of another size, or for
   * none.
   */
  slots: Tensor[];
  /**
   * For each source size the samples [B, sampleWords] whose `before` and `after` make the motion
   * gradient; `before` is noSlot likewise.
   */
  moving: Tensor[];
  /** [n, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, H, W] packed. */
  gradient: Tensor;
}

/**
 * Adds a store of raw frames of one or several source sizes to a graph.
 * @param slots frames that it holds
 * @param perStep frames that a step takes
 * @param samples samples of a step
 */
export function frameStore(
  graph: Graph,
  sources: readonly Size[],
  size: Size,
  { slots, perStep, samples }: { slots: number; perStep: number; samples: number },
): FrameStore {
  const slotWords = Math.max(...sources.map(rawSlotWords));
  const raw = graph.state("raw frames", [slots, slotWords], "u32");
  const store: FrameStore = {
    raw,
    slotWords,
    slots: [],
    moving: [],
    frames: graph.state("frames", [perStep, size.height, size.width], "u32"),
    gradient: graph.state("motion gradient", [samples, size.height, size.width], "u32"),
  };
  for (const source of sources) {
    const name = `${source.width}x${source.height}`;
    const tables = interpolationTables(graph, source, size, [`columns of ${name}`, `rows of ${name}`]);
    const taken = graph.input(`slots of ${name}`, [perStep], "u32");
    const moving = graph.input(`motion of ${name}`, [samples, sampleWords], "u32");
    const attrs = { source, size };
    const framesOf = { raw, ...tables, listed: taken, images: store.frames };
    [store.frames] = graph.apply(gatherFramesOp, framesOf, attrs);
    const motionOf = { raw, ...tables, listed: moving, images: store.gradient };
    [store.gradient] = graph.apply(gatherMotionOp, motionOf, attrs);
    store.slots.push(taken);
    store.moving.push(moving);
  }
  return store;
}
