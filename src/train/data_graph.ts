import type { Graph, Tensor } from "../graph/graph.js";
import type { MaskingMethod, TokenGrid } from "../model/masking.js";
import { sampleWords } from "../ops/common.js";
import { type FrameStore, frameStore } from "../ops/gather_frames.js";
import { growMasks } from "../ops/grow_mask.js";
import { noiseOp, patchMotionOp, rankTokensOp } from "../ops/masking.js";
import { pasteOp, pasteWords } from "../ops/paste.js";
import type { Size } from "../ops/resize.js";
import { framesPerSample } from "./sampler.js";
import type { TrainingBatch } from "./training_graph.js";

export interface DataGraphOptions {
  /** Sizes that frames come in. */
  sources: readonly Size[];
  /** The network's input. */
  size: Size;
  patch: number;
  grid: TokenGrid;
  masking: MaskingMethod;
  /** Samples of a micro-batch. */
  samples: number;
  /** Frames that stay on the GPU. */
  slots: number;
  /** Whether samples may be abnormal. */
  anomalies: boolean;
  /** Pixels by which masks grow. */
  maskGrowth: number;
}

/** The data's side of a training graph: where the host writes. */
export interface DataGraph {
  store: FrameStore;
  /** Frames that are taken for each sample. */
  framesEach: number;
  /** [B, sampleWords], of the network: its `frame` is what the mask is drawn by. */
  samples: Tensor;
  /** [B, pasteWords]; absent without anomalies. */
  pastes?: Tensor;
  /** [1]: the run's seed; absent where masks do not depend on it. */
  maskSeed?: Tensor;
  batch: TrainingBatch;
}

/**
 * Adds what makes a micro-batch of raw frames on the GPU: resizing and stacking, motion gradients, anomalies with their masks and the targets
 * without them, and the choice of removed tokens. Values become floats in the network's first kernel.
 */
export function buildDataGraph(graph: Graph, options: DataGraphOptions): DataGraph {
  const { samples: b, grid, patch, anomalies } = options;
  const framesEach = framesPerSample[anomalies ? "abnormal" : "normal"];
  const perStep = framesEach * b;
  const store = frameStore(graph, options.sources, options.size, { slots: options.slots, perStep, samples: b });
  const samples = graph.input("samples", [b, sampleWords], "u32");
  let [frames, targets] = [store.frames, store.frames];
  let pastes: Tensor | undefined;
  if (anomalies) {
    pastes = graph.input("pastes", [b, pasteWords], "u32");
    const taken = graph.weight("taken frames", [b, sampleWords], packSamples(b, framesEach, 1));
    [frames, targets] = graph.apply(pasteOp, [store.frames, taken, pastes], {}) as [Tensor, Tensor];
    targets = growMasks(graph, targets, options.maskGrowth);
  }
  const random = options.masking === "random";
  const maskSeed = random ? graph.input("mask seed", [1], "u32") : undefined;
  const [keys] = maskSeed
    ? graph.apply(noiseOp, [samples, maskSeed], { tokens: grid.tokens })
    : graph.apply(patchMotionOp, [store.gradient], { patch });
  const [idsRestore, idsKeep] = graph.apply(rankTokensOp, [keys], { keep: grid.keep }) as [Tensor, Tensor];
  const batch = { frames, samples, targets, gradient: store.gradient, idsKeep, idsRestore };
  return { store, framesEach, samples, ...(pastes && { pastes }), ...(maskSeed && { maskSeed }), batch };
}

/**
 * Samples whose three frames lie `each` apart.
 * @param targetsEach how far apart their targets lie
 * @param numbers what each one's mask is drawn by
 */
export function packSamples(
  count: number,
  each: number,
  targetsEach: number,
  numbers: ArrayLike<number> = [],
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(count * sampleWords);
  for (let i = 0; i < count; i++) {
    const at = i * each;
    // Targets that are frames of their own samples are the current ones, the second of three.
    const target = targetsEach === each ? at + 1 : i * targetsEach;
    words.set([at, at + 1, at + 2, 0, 0, target, numbers[i] ?? 0, 0], i * sampleWords);
  }
  return words;
}
