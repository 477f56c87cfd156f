// The data's part of the training graph: raw frames in, samples, targets and masks out.
import type { Graph, Tensor } from "../graph/graph.js";
import type { MaskingMethod, TokenGrid } from "../model/masking.js";
import { augmentationWords, augmentOp } from "../ops/augment.js";
import { sampleWords } from "../ops/common.js";
import { type FrameStore, frameStore } from "../ops/frame_store.js";
import { growMasks } from "../ops/grow_mask.js";
import { noiseOp } from "../ops/noise.js";
import { pasteOp, pasteWords } from "../ops/paste.js";
import { patchMotionOp } from "../ops/patch_motion.js";
import { rankTokensOp } from "../ops/rank_tokens.js";
import type { Size } from "../ops/resize.js";
import { packSamples, type SampleRow } from "../ops/samples.js";
import { framesPerSample } from "./sampler.js";
import type { TrainingBatch } from "./training_graph.js";

/** What a data graph is made for. */
export interface DataGraphOptions {
  /** Sizes of raw frames. */
  sources: readonly Size[];
  /** The network's input size. */
  size: Size;
  patch: number;
  grid: TokenGrid;
  masking: MaskingMethod;
  /** Samples per micro-batch. */
  samples: number;
  /** Frames that the GPU keeps. */
  slots: number;
  /** Most objects that are pasted into a sample; 0: none. */
  pastes: number;
  /** Whether samples may change their look; needs {@link pastes}. Default false. */
  augmented?: boolean;
  /** Pixels by which anomaly masks grow. */
  maskGrowth: number;
}

/** The tensors of the data's part that the host writes, and its results. */
export interface DataGraph {
  store: FrameStore;
  /** Frames that are taken for each sample. */
  framesEach: number;
  /** Objects that are pasted into each sample. */
  pastesEach: number;
  /** [B, sampleWords]: the network's samples. Random masks depend on their `frame`. */
  samples: Tensor;
  /** [B · {@link pastesEach}, pasteWords]; absent if nothing is pasted. */
  pastes?: Tensor;
  /** [B, augmentationWords]; absent if samples do not change. */
  augmentations?: Tensor;
  /** [1]: the run's seed; absent if masks do not depend on it. */
  maskSeed?: Tensor;
  batch: TrainingBatch;
}

/**
 * Adds the kernels that make a micro-batch from raw frames (docs/method.md §1): resizing and
 * stacking, motion gradients, pasted anomalies with masks, clean targets, and the choice of removed
 * tokens. Values stay bytes; the network's first kernel normalises them.
 */
export function buildDataGraph(graph: Graph, options: DataGraphOptions): DataGraph {
  const { samples: b, grid, patch, pastes: pastesEach } = options;
  const framesEach = framesPerSample(pastesEach);
  const perStep = framesEach * b;
  const store = frameStore(graph, options.sources, options.size, { slots: options.slots, perStep, samples: b });
  const samples = graph.input("samples", [b, sampleWords], "u32");
  let [frames, targets] = [store.frames, store.frames];
  let pastes: Tensor | undefined;
  let augmentations: Tensor | undefined;
  if (pastesEach > 0) {
    pastes = graph.input("pastes", [b * pastesEach, pasteWords], "u32");
    const taken = graph.weight("taken frames", [b, sampleWords], packSamples(evenSamples(b, framesEach, 1)));
    [frames, targets] = graph.apply(pasteOp, { frames: store.frames, samples: taken, pastes }, {});
    if (options.augmented) {
      augmentations = graph.input("augmentations", [b, augmentationWords], "u32");
      [frames, targets] = graph.apply(augmentOp, { frames, targets, augmentations }, {});
    }
    targets = growMasks(graph, targets, options.maskGrowth);
  }
  const random = options.masking === "random";
  const maskSeed = random ? graph.input("mask seed", [1], "u32") : undefined;
  const [keys] = maskSeed
    ? graph.apply(noiseOp, { samples, seed: maskSeed }, { tokens: grid.tokens })
    : graph.apply(patchMotionOp, { gradient: store.gradient }, { patch });
  const [idsRestore, idsKeep] = graph.apply(rankTokensOp, { keys }, { keep: grid.keep });
  const batch = { frames, samples, targets, gradient: store.gradient, idsKeep, idsRestore };
  const written = { ...(pastes && { pastes }), ...(augmentations && { augmentations }) };
  return { store, framesEach, pastesEach, samples, ...written, ...(maskSeed && { maskSeed }), batch };
}

/**
 * Samples with evenly spaced slots.
 * @param each distance from the first frame of a sample to that of the next
 * @param targetsEach the same for targets; if equal, the target is the sample's current frame
 * @param numbers the number that each sample's random mask depends on; default 0
 */
export function evenSamples(
  count: number,
  each: number,
  targetsEach: number,
  numbers: ArrayLike<number> = [],
): SampleRow[] {
  return Array.from({ length: count }, (_, i) => {
    const at = i * each;
    const target = targetsEach === each ? at + 1 : i * targetsEach;
    return { previous: at, current: at + 1, next: at + 2, target, frame: numbers[i] ?? 0 };
  });
}
