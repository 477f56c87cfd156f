// The core's training with what Node adds: a device by Dawn, and decoded frames in a temporary
// file.
import type { Dataset } from "../data/dataset.js";
import type { TrainingConfig } from "../train/config.js";
import { train as coreTrain, type TrainOptions, type TrainResult } from "../train/trainer.js";
import { type NodeGpuOptions, openNodeGpu } from "./adapters/gpu.js";
import { FileArchive } from "./files/file_archive.js";

/** Options of training in Node. */
export type NodeTrainOptions = TrainOptions &
  Pick<NodeGpuOptions, "adapter" | "robust"> & {
    /**
     * The folder for decoded frames while training runs; default: the system's for temporary files.
     */
    framesFolder?: string;
  };

/**
 * Trains a model as the core does, on a device that Dawn opens, with decoded frames in a temporary
 * file.
 * @throws InputError, NoAdapterError and GpuError as the core's train and {@link openNodeGpu} do
 */
export async function train(
  config: TrainingConfig,
  dataset: Dataset,
  options: NodeTrainOptions = {},
): Promise<TrainResult> {
  const gpu = options.gpu ?? (await openNodeGpu(options));
  const archive = options.archive ?? (await FileArchive.create(options.framesFolder));
  try {
    return await coreTrain(config, dataset, { ...options, gpu, archive });
  } finally {
    if (!options.archive) await archive.close();
    if (!options.gpu) gpu.close();
  }
}
