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

// A checkpoint (checkpoint.ts) that training can go on from: beside the model's tensors AdamW's moments,
// `optimizer.exp_avg.<name>` and `optimizer.exp_avg_sq.<name>`, and as metadata the trainer's own JSON.

const trainingKey = "sdmae.training";
const firstPrefix = `${optimizerPrefix}exp_avg.`;
const secondPrefix = `${optimizerPrefix}exp_avg_sq.`;

export interface OptimizerState {
  /** AdamW's first and second moments by tensor name, shape as the tensor's; of every tensor that is trained. */
  moments: Map<string, { shape: readonly number[]; first: Float32Array; second: Float32Array }>;
}

export interface TrainingCheckpoint {
  checkpoint: Checkpoint;
  optimizer: OptimizerState;
  /** The trainer's own JSON, to be checked by whoever reads it. */
  training: unknown;
}

/** A training checkpoint as a safetensors file; {@link openTrainingCheckpoint} reads the same bits back. */
export function saveTrainingCheckpoint({ checkpoint, optimizer, training }: TrainingCheckpoint): Uint8Array {
  const { tensors, metadata } = checkpointContent(checkpoint);
  for (const [name, { shape, first, second }] of optimizer.moments) {
    tensors.set(firstPrefix + name, { dtype: "F32", shape, data: first });
    tensors.set(secondPrefix + name, { dtype: "F32", shape, data: second });
  }
  return serializeSafetensors(tensors, { ...metadata, [trainingKey]: JSON.stringify(training) });
}

/**
 * Whether a file is a training checkpoint, as far as its metadata says.
 * @throws InputError where it is a damaged safetensors file
 */
export function isTrainingCheckpoint({ name, bytes }: CheckpointFile): boolean {
  return looksLikeSafetensors(bytes) && Object.hasOwn(parseSafetensors(bytes, name).metadata, trainingKey);
}

/**
 * Opens what {@link saveTrainingCheckpoint} wrote, checking all of it but the trainer's JSON. Weights and moments may be views of the
 * file's bytes.
 * @throws InputError, also for a checkpoint without the optimiser's state
 */
export function openTrainingCheckpoint(file: CheckpointFile): TrainingCheckpoint {
  const { name } = file;
  const checkpoint = openCheckpoint([file]);
  if (!isTrainingCheckpoint(file)) {
    throw new InputError(`${name}: was not written by training: it cannot be continued from`);
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
      throw new InputError(`${name}: tensor ${shown(tensorName)} is unknown: nothing of that name is trained`);
    }
  }
  return { checkpoint, optimizer: { moments }, training };
}

/** Takes one moment out of `tensors`, checked. */
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
    const should = isSquare ? "finite and not negative" : "finite";
    throw new InputError(
      `${name}: tensor ${shown(tensorName)} holds ${data[at]} at position ${at}; this moment must be ${should}`,
    );
  }
  return data;
}
