import type { Target } from "../../src/gpu/gpu.js";
import type { Tensor } from "../../src/graph/graph.js";
import type { SdMaeConfig } from "../../src/model/config.js";
import { tokenGrid } from "../../src/model/masking.js";
import { sampleWords } from "../../src/ops/common.js";
import { frameRing } from "../../src/ops/frame_ring.js";
import type { Size } from "../../src/ops/resize.js";
import { buildTrainingGraph, type TrainingGraph, type TrainingGraphOptions } from "../../src/train/training_graph.js";

/** Options of a training graph for tests. */
export type TrainingOptions = Omit<TrainingGraphOptions, "grid"> & { config: SdMaeConfig; size: Size; batch: number };

/**
 * A training graph whose frames, targets, gradient and masks the host writes. A sample b has three
 * frames, in slots 3b, 3b + 1, 3b + 2.
 */
export function trainingGraph(
  target: Target,
  { size, batch, ...options }: TrainingOptions,
): TrainingGraph & {
  inputs: Record<"raw" | "slots" | "samples" | "targets" | "gradient" | "idsKeep" | "idsRestore", Tensor>;
} {
  const grid = tokenGrid(size, options.config.patch, 0.5);
  let inputs: Record<string, Tensor> = {};
  const built = buildTrainingGraph(target, { ...options, grid }, (graph) => {
    const ring = frameRing(graph, size, size, 3 * batch, 3 * batch);
    const image = [batch, size.height, size.width];
    const batchInputs = {
      samples: graph.input("samples", [batch, sampleWords], "u32"),
      targets: graph.input("targets", image, "u32"),
      gradient: graph.input("gradient", image, "u32"),
      idsKeep: graph.input("idsKeep", [batch, grid.keep], "u32"),
      idsRestore: graph.input("idsRestore", [batch, grid.tokens], "u32"),
    };
    inputs = { raw: ring.raw, slots: ring.slots, ...batchInputs };
    return { frames: ring.resized, ...batchInputs };
  });
  return { ...built, inputs: inputs };
}
