// The graph of a training stage, and how many samples and frames of it fit into memory.
import { GpuError, InputError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import { byteSize } from "../graph/graph.js";
import { planMemory } from "../graph/plan.js";
import { tokenGrid } from "../model/masking.js";
import { rawSlotWords, type Size } from "../ops/resize.js";
import type { TrainingConfig } from "./config.js";
import { buildDataGraph, type DataGraph } from "./data_graph.js";
import { framesPerSample } from "./sampler.js";
import { buildTrainingGraph, type TrainingGraph } from "./training_graph.js";
import type { TrainingSet } from "./training_set.js";

/** How much GPU memory training may take, in bytes. */
export interface MemoryBudget {
  /** For activations, gradients and weights. */
  activations: number;
  /** For frames that stay on the GPU. */
  frames: number;
}

/** A stage's graph: both passes and the optimiser, and the tensors of its data. */
export interface BuiltStage {
  built: TrainingGraph;
  data: DataGraph;
}

/**
 * Builds the graph of a stage.
 * @param sources sizes of raw frames
 * @param samples samples per micro-batch
 * @param slots frames that the GPU keeps
 * @throws GpuError if mixed precision does not work on the target
 */
export function buildStage(
  target: Target,
  sources: readonly Size[],
  config: TrainingConfig,
  stage: 1 | 2,
  samples: number,
  slots: number,
): BuiltStage {
  const { model, size, masking, loss, lossFloor, normalizeTarget, dropout, precision, maskGrowth } = config;
  const grid = tokenGrid(size, model.patch, config.maskRatio);
  let data: DataGraph | undefined;
  const [pastes, augmented] = [mostPastes(config), config.augmentation.share > 0];
  const options = { config: model, grid, stage, loss, lossFloor, normalizeTarget, dropout, precision };
  const built = buildTrainingGraph(target, options, (graph) => {
    const frames = { sources, size, patch: model.patch, slots };
    data = buildDataGraph(graph, { ...frames, grid, masking, samples, pastes, augmented, maskGrowth });
    return data.batch;
  });
  return { built, data: data! };
}

/** Most objects that are pasted into a sample. Changing samples' look takes the same way. */
function mostPastes({ anomalies, anomalyShare, pseudo, augmentation }: TrainingConfig): number {
  if (anomalies === "pseudo" && (anomalyShare > 0 || pseudo.decoys > 0)) return pseudo.objects;
  return augmentation.share > 0 || (anomalies === "files" && anomalyShare > 0) ? 1 : 0;
}

/**
 * The largest micro-batch that the memory budget and the target's limits allow, a divisor of the
 * batch. If frames are the limit, {@link slotCount} says so.
 * @throws GpuError if not even one sample fits
 */
export function largestMicroBatch(
  target: Target,
  set: Pick<TrainingSet, "sizes" | "frameCount">,
  config: TrainingConfig,
  budget: MemoryBudget,
): number {
  const { activations } = budget;
  const { sizes: sources } = set;
  const { maxStorageBufferBindingSize: largest } = target.limits;
  let smallest = 0;
  for (let samples = config.batch; samples >= 1; samples--) {
    if (config.batch % samples !== 0) continue;
    const { needed, fitting } = slotsFor(target, set, { ...config, microBatch: samples }, budget);
    if (samples > 1 && fitting < needed) continue;
    const fits = ([1, 2] as const).every((stage) => {
      if (stage === 2 && config.teacherEpochs === config.epochs) return true;
      const { graph } = buildStage(target, sources, config, stage, samples, 1).built;
      const { slotBytes } = planMemory(graph);
      smallest = slotBytes.reduce((a, b) => a + b, 0);
      return (
        smallest <= activations && [...slotBytes, ...graph.tensors.map(byteSize)].every((bytes) => bytes <= largest)
      );
    });
    if (fits) return samples;
  }
  const { height, width } = config.size;
  const message = (memory: string) =>
    `training on one sample of ${height}x${width} takes ${mib(smallest)} MiB, but ${mib(activations)} MiB are allowed (${memory}), ` +
    `and ${mib(largest)} MiB in one buffer: use a smaller size or a larger patch`;
  throw new GpuError(message("memory.activations"), message("--memory"));
}

/**
 * How many frames a micro-batch needs, how many fit on the GPU, the bytes of one, and of the
 * largest buffer.
 */
function slotsFor(
  { limits: { maxStorageBufferBindingSize, maxBufferSize } }: Pick<Target, "limits">,
  { sizes, frameCount }: Pick<TrainingSet, "sizes" | "frameCount">,
  config: TrainingConfig,
  { frames }: MemoryBudget,
): Record<"needed" | "fitting" | "bytes" | "largest", number> {
  const bytes = 4 * Math.max(...sizes.map(rawSlotWords));
  const largest = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const fitting = Math.floor(Math.min(frames, largest) / bytes);
  // A sample also needs the frames at t − 1 and t + 1.
  const most = config.microBatch * (framesPerSample(mostPastes(config)) + 2);
  return { needed: Math.min(most, frameCount), fitting, bytes, largest };
}

/**
 * How many frames the GPU keeps: all of them, or as many as fit.
 * @throws InputError if not even those of a micro-batch fit
 */
export function slotCount(
  target: Pick<Target, "limits">,
  set: Pick<TrainingSet, "sizes" | "frameCount">,
  config: TrainingConfig,
  budget: MemoryBudget,
): number {
  const { needed, fitting, bytes, largest } = slotsFor(target, set, config, budget);
  if (fitting < needed) {
    const { microBatch: samples } = config;
    const message = (microBatch: string, frameMemory: string) => {
      const ways = [
        ...(samples > 1 ? [`a smaller micro-batch (${microBatch})`] : []),
        largest < needed * bytes
          ? `smaller videos (the adapter takes ${mib(largest)} MiB in one buffer)`
          : `more memory for frames (${frameMemory})`,
      ];
      return `a micro-batch of ${samples} needs up to ${needed} frames of ${mib(bytes)} MiB, but only ${fitting} fit: use ${ways.join(" or ")}`;
    };
    throw new InputError(message("microBatch", "memory.frames"), message("--micro-batch", "--frame-memory"));
  }
  return Math.min(set.frameCount, fitting);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toPrecision(3);
}
