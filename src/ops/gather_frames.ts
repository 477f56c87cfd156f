import type { Graph, Op, Tensor } from "../graph/graph.js";
import { dim, expect, expectShape, sampleWords } from "./common.js";
import { interpolationTable, type ResizeAttrs, rawSlotWords, resizeKernel, type Size } from "./resize.js";

/** Shared by both ops: raw frames [slots, slot words], tables, what is listed, and the images [n, H, W] that are updated in place. */
function gatherOp(name: string, difference: boolean): Op<ResizeAttrs> {
  return {
    name,
    inPlace: [4],
    outputs([raw, columns, rows, listed, images], { source, size }) {
      const words = dim(expectShape(raw, "raw frames", [-1, -1]), 1);
      expect(
        words >= rawSlotWords(source),
        `slots of ${words} words hold no frame of ${source.width}x${source.height}`,
      );
      expectShape(columns, "column table", [size.width]);
      expectShape(rows, "row table", [size.height]);
      const n = dim(expectShape(listed, "what is listed", difference ? [-1, sampleWords] : [-1]), 0);
      return [expectShape(images, "images", [n, size.height, size.width])];
    },
    kernels({ inputs, outputs, attrs }) {
      const [raw, columns, rows, listed] = inputs as [Tensor, Tensor, Tensor, Tensor];
      const bindings = {
        raw,
        columns,
        rows,
        [difference ? "samples" : "slots"]: listed,
        resized: outputs[0],
      };
      return [resizeKernel({ difference, gather: true }, dim(listed, 0), dim(raw, 1), attrs, bindings)];
    },
    cost({ inputs, attrs: { source, size } }) {
      const read = (difference ? 2 : 1) * rawSlotWords(source);
      return { flops: 0, bytes: dim(inputs[3], 0) * 4 * (read + size.height * size.width) };
    },
  };
}

/** Resizes the raw frames of the listed slots [n] to images [n, H, W] in that order; where no slot is listed the image stays. */
export const gatherFramesOp = gatherOp("gatherFrames", false);

/** Motion gradients of samples [B, sampleWords] as images [B, H, W]; where a sample names no frame before it, the image stays. */
export const gatherMotionOp = gatherOp("gatherMotion", true);

/** Raw frames that stay on the GPU, and what a step takes from them. */
export interface FrameStore {
  /** [slots, slotWords]: the host writes raw frames here. */
  raw: Tensor;
  slotWords: number;
  /** For each source size the slots [n] that are taken: {@link noSlot} where a frame has another size, or there is none. */
  slots: Tensor[];
  /** For each source size the samples [B, sampleWords] whose `before` and `after` make the motion gradient; `before` is noSlot likewise. */
  moving: Tensor[];
  /** [n, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, H, W] packed. */
  gradient: Tensor;
}

/**
 * Adds a store of raw frames to a graph, of one or several source sizes.
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
    const columns = graph.weight(`columns of ${name}`, [size.width], interpolationTable(source.width, size.width, "x"));
    const rows = graph.weight(`rows of ${name}`, [size.height], interpolationTable(source.height, size.height, "y"));
    const taken = graph.input(`slots of ${name}`, [perStep], "u32");
    const moving = graph.input(`motion of ${name}`, [samples, sampleWords], "u32");
    const attrs = { source, size };
    [store.frames] = graph.apply(gatherFramesOp, [raw, columns, rows, taken, store.frames], attrs) as [Tensor];
    [store.gradient] = graph.apply(gatherMotionOp, [raw, columns, rows, moving, store.gradient], attrs) as [Tensor];
    store.slots.push(taken);
    store.moving.push(moving);
  }
  return store;
}
