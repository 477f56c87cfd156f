import { InputError } from "../errors.js";
import { type SdMaeConfig, tensorShapes } from "../model/config.js";
import { checkTensors, inferConfig, isExtra } from "./infer.js";
import { isStudentTensor, mergeStudent, requireSameConfig } from "./merge.js";
import { parsePth } from "./pth.js";
import { looksLikeSafetensors, parseSafetensors, type Safetensors, serializeSafetensors } from "./safetensors.js";
import { settingsFromArgs, settingsFromJson, type TrainingSettings } from "./settings.js";
import { asFloat32, type StoredTensor } from "./tensor.js";
import { shown } from "./text.js";

/** Of a tensor's name, where it is the optimiser's state and no part of the model (training_checkpoint.ts). */
export const optimizerPrefix = "optimizer.";

/** Keys of the safetensors metadata; the values are JSON. */
const configKey = "sdmae.config";
const settingsKey = "sdmae.settings";

export interface Weight {
  shape: readonly number[];
  /** Row-major. */
  data: Float32Array;
}

/** A network's weights and sizes, checked against each other. */
export interface Checkpoint {
  config: SdMaeConfig;
  /** Exactly the tensors of `tensorShapes(config)`, in its order, with its shapes; every value is finite. */
  weights: Map<string, Weight>;
  /**
   * What the original saves besides (BatchNorm's `num_batches_tracked`, four morphology weights): no part of the network,
   * kept so that a checkpoint can be given back to the original whole.
   */
  extras: Map<string, StoredTensor>;
  /** What is known about the training. */
  settings: TrainingSettings;
  /** The file or files that it came from, for messages. */
  source: string;
  /** How many tensors a student's file replaced; 0 without one. */
  overlaid: number;
}

/** A file's content, and its name for messages. */
export interface CheckpointFile {
  name: string;
  bytes: Uint8Array;
}

export interface OpenOptions {
  /** Attention heads, which a .pth does not tell; without it what the file tells, or the original's 4. */
  heads?: number;
}

/** One file's tensors, not merged yet, and checked against the sizes that they themselves tell. */
interface CheckpointPart {
  tensors: Map<string, StoredTensor>;
  config: SdMaeConfig;
  settings: TrainingSettings;
}

function parseJson(text: string, name: string, key: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${name}: its metadata ${shown(key)} is not valid JSON`);
  }
}

function openSafetensors(file: CheckpointFile, heads: number | undefined): CheckpointPart {
  const { name } = file;
  const { tensors, metadata } = parseSafetensors(file.bytes, name);
  for (const tensorName of tensors.keys()) if (tensorName.startsWith(optimizerPrefix)) tensors.delete(tensorName);
  const declared = Object.hasOwn(metadata, configKey) ? parseJson(metadata[configKey], name, configKey) : undefined;
  if (declared !== undefined && (typeof declared !== "object" || declared === null)) {
    throw new InputError(`${name}: its metadata ${shown(configKey)} is no JSON object`);
  }
  const told = declared === undefined ? undefined : new Map<string, unknown>(Object.entries(declared));
  const toldHeads = told?.get("heads");
  const config = inferConfig(tensors, name, heads ?? (typeof toldHeads === "number" ? toldHeads : undefined));
  for (const key of told ? (Object.keys(config) as (keyof SdMaeConfig)[]) : []) {
    if (key !== "heads" && told!.get(key) !== config[key]) {
      throw new InputError(
        `${name}: its metadata says ${key} ${shown(String(JSON.stringify(told!.get(key))))}, its tensors ${config[key]}`,
      );
    }
  }
  const settings = Object.hasOwn(metadata, settingsKey) ? parseJson(metadata[settingsKey], name, settingsKey) : {};
  return { tensors, config, settings: settingsFromJson(settings) };
}

function openPart(file: CheckpointFile, heads: number | undefined): CheckpointPart {
  let part: CheckpointPart;
  if (looksLikeSafetensors(file.bytes)) {
    part = openSafetensors(file, heads);
  } else {
    const { tensors, args, epoch } = parsePth(file.bytes, file.name);
    part = { tensors, config: inferConfig(tensors, file.name, heads), settings: settingsFromArgs(args, epoch) };
  }
  checkTensors(part.tensors, part.config, file.name);
  for (const [tensorName, tensor] of part.tensors) {
    if (!isExtra(tensorName)) checkValues(tensorName, tensor, file.name);
  }
  return part;
}

/** Refuses what would only surface as a score of NaN. */
function checkValues(tensorName: string, tensor: StoredTensor, name: string): void {
  const values = asFloat32(tensor)!;
  const isVariance = tensorName.endsWith(".running_var");
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) {
      throw new InputError(
        `${name}: tensor ${shown(tensorName)} holds ${value} at position ${i}; weights must be finite`,
      );
    }
    if (isVariance && value < 0) {
      throw new InputError(
        `${name}: tensor ${shown(tensorName)} holds a negative variance, ${value}, at position ${i}`,
      );
    }
  }
}

/**
 * Opens a checkpoint: one file, or a teacher's and a student's, of which everything that belongs to the student is taken
 * from the second, as the original does for inference. Each is a .pth of torch.save or a safetensors file, told apart
 * by content. Checks every tensor's name, shape and values. From safetensors the weights may be views of `bytes`.
 * A training checkpoint's optimiser is stepped over.
 * @throws InputError
 */
export function openCheckpoint(files: readonly CheckpointFile[], options: OpenOptions = {}): Checkpoint {
  const [first, second, third] = files;
  if (!first || third) throw new RangeError(`a checkpoint is opened from one or two files, not ${files.length}`);
  const teacher = openPart(first, options.heads);
  let tensors = teacher.tensors;
  let overlaid = 0;
  if (second) {
    const student = openPart(second, options.heads);
    if (![...student.tensors.keys()].some(isStudentTensor)) {
      throw new InputError(`${second.name}: it has no tensor of a student`);
    }
    requireSameConfig(teacher.config, first.name, student.config, second.name);
    ({ tensors, overlaid } = mergeStudent(teacher.tensors, student.tensors));
  }

  const weights = new Map<string, Weight>();
  for (const [tensorName, shape] of tensorShapes(teacher.config)) {
    weights.set(tensorName, { shape, data: asFloat32(tensors.get(tensorName)!)! });
  }
  return {
    config: teacher.config,
    weights,
    extras: new Map([...tensors].filter(([tensorName]) => isExtra(tensorName))),
    settings: teacher.settings,
    source: second ? `${first.name} + ${second.name}` : first.name,
    overlaid,
  };
}

export interface SaveOptions {
  /**
   * Weights as float16, rounded to nearest. BatchNorm's running statistics stay float32: they are a quarter of a percent of the values, and what is
   * divided by the root of a small variance would feel how coarse float16 is there.
   */
  half?: boolean;
}

/** The largest value of float16; from 65520 on what is rounded becomes infinity. */
const halfLimit = 65504;

/** @throws InputError for what float16 cannot hold */
function asHalf(tensorName: string, { shape, data }: Weight, source: string): StoredTensor {
  const at = data.findIndex((value) => !(Math.abs(value) < halfLimit + 16));
  if (at >= 0) {
    throw new InputError(
      `${source}: tensor ${shown(tensorName)} holds ${data[at]} at position ${at}, beyond float16's ${halfLimit}; it must be saved as float32`,
    );
  }
  return { dtype: "F16", shape, data };
}

/** All of a checkpoint as it stands in a safetensors file; see {@link saveCheckpoint}. */
export function checkpointContent(checkpoint: Checkpoint, options: SaveOptions = {}): Safetensors {
  const tensors = new Map<string, StoredTensor>(checkpoint.extras);
  for (const [tensorName, weight] of checkpoint.weights) {
    const half = options.half && !/\.running_(mean|var)$/.test(tensorName);
    tensors.set(tensorName, half ? asHalf(tensorName, weight, checkpoint.source) : { dtype: "F32", ...weight });
  }
  return {
    tensors,
    metadata: {
      [configKey]: JSON.stringify(checkpoint.config),
      [settingsKey]: JSON.stringify(checkpoint.settings),
    },
  };
}

/**
 * A checkpoint as a safetensors file, all tensors, sizes and settings included; `openCheckpoint` reads it back.
 * @throws InputError for float16 where a weight is too large for it
 */
export function saveCheckpoint(checkpoint: Checkpoint, options: SaveOptions = {}): Uint8Array {
  const { tensors, metadata } = checkpointContent(checkpoint, options);
  return serializeSafetensors(tensors, metadata);
}
