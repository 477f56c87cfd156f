// Checkpoints that training can resume from. Beside the model they hold AdamW's moments, as
// `optimizer.exp_avg.<name>` and `optimizer.exp_avg_sq.<name>`, and the trainer's JSON as metadata.

import { InputError } from "../errors.js";
import { tensorShapes } from "../model/config.js";
import {
  type Checkpoint,
  type CheckpointFile,
  checkpointContent,
  openCheckpoint,
  optimizerPrefix,
} from "./checkpoint.js";
import { looksLikeSafetensors, parseSafetensors, serializeSafetensors } from "./safetensors.js";
import type { StoredTensor } from "./tensor.js";
import { shown, shownShape } from "./text.js";

const trainingKey = "sdmae.training";
const firstPrefix = `${optimizerPrefix}exp_avg.`;
const secondPrefix = `${optimizerPrefix}exp_avg_sq.`;

/** AdamW's state. */
export interface OptimizerState {
  /** First and second moments of every trained tensor, by its name and in its shape. */
  moments: Map<string, { shape: readonly number[]; first: Float32Array; second: Float32Array }>;
}

/** A checkpoint with all that training needs to resume. */
export interface TrainingCheckpoint {
  checkpoint: Checkpoint;
  optimizer: OptimizerState;
  /** The trainer's own JSON. Not checked here. */
  training: unknown;
}

/**
 * A training checkpoint as a safetensors file. {@link openTrainingCheckpoint} reads back the same
 * bits.
 */
export function saveTrainingCheckpoint({ checkpoint, optimizer, training }: TrainingCheckpoint): Uint8Array {
  const { tensors, metadata } = checkpointContent(checkpoint);
  for (const [name, { shape, first, second }] of optimizer.moments) {
    tensors.set(firstPrefix + name, { dtype: "F32", shape, data: first });
    tensors.set(secondPrefix + name, { dtype: "F32", shape, data: second });
  }
  return serializeSafetensors(tensors, { ...metadata, [trainingKey]: JSON.stringify(training) });
}

/**
 * Whether a file is a training checkpoint, by its metadata.
 * @throws InputError if it is a damaged safetensors file
 */
export function isTrainingCheckpoint({ name, bytes }: CheckpointFile): boolean {
  return looksLikeSafetensors(bytes) && Object.hasOwn(parseSafetensors(bytes, name).metadata, trainingKey);
}

/**
 * Opens what {@link saveTrainingCheckpoint} wrote. Checks everything but the trainer's JSON.
 * Weights and moments may be views of the file's bytes.
 * @throws InputError if the file is damaged or has no optimiser state
 */
export function openTrainingCheckpoint(file: CheckpointFile): TrainingCheckpoint {
  const { name } = file;
  const checkpoint = openCheckpoint([file]);
  if (!isTrainingCheckpoint(file)) {
    throw new InputError(`${name}: not a training checkpoint, so training cannot resume from it`);
  }
  const { tensors, metadata } = parseSafetensors(file.bytes, name);
  let training: unknown;
  try {
    training = JSON.parse(metadata[trainingKey]);
  } catch {
    throw new InputError(`${name}: its metadata ${shown(trainingKey)} is not valid JSON`);
  }

  const moments: OptimizerState["moments"] = new Map();
  for (const [tensorName, shape] of tensorShapes(checkpoint.config)) {
    if (/\.running_(mean|var)$/.test(tensorName)) continue;
    const moment = (prefix: string) => takeMoment(tensors, prefix + tensorName, shape, name);
    moments.set(tensorName, { shape, first: moment(firstPrefix), second: moment(secondPrefix) });
  }
  for (const tensorName of tensors.keys()) {
    if (tensorName.startsWith(optimizerPrefix)) {
      throw new InputError(`${name}: tensor ${shown(tensorName)} is unknown: no trained tensor has that name`);
    }
  }
  return { checkpoint, optimizer: { moments }, training };
}

/** Removes one moment from `tensors` and checks it. */
function takeMoment(
  tensors: Map<string, StoredTensor>,
  tensorName: string,
  shape: readonly number[],
  name: string,
): Float32Array {
  const tensor = tensors.get(tensorName);
  tensors.delete(tensorName);
  if (!tensor) throw new InputError(`${name}: tensor ${shown(tensorName)} is missing, expected ${shownShape(shape)}`);
  const { dtype, data } = tensor;
  if (dtype !== "F32" || !(data instanceof Float32Array) || tensor.shape.join() !== shape.join()) {
    throw new InputError(
      `${name}: tensor ${shown(tensorName)} is ${dtype} ${shownShape(tensor.shape)}, expected F32 ${shownShape(shape)}`,
    );
  }
  const isSquare = tensorName.startsWith(secondPrefix);
  const at = data.findIndex((value) => !Number.isFinite(value) || (isSquare && value < 0));
  if (at >= 0) {
    const range = isSquare ? "finite and not negative" : "finite";
    throw new InputError(
      `${name}: tensor ${shown(tensorName)} holds ${data[at]} at position ${at}; this moment must be ${range}`,
    );
  }
  return data;
}
