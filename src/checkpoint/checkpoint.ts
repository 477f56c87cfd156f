// Opens and saves checkpoints of any format; checks that they hold an SD-MAE network.

import { InputError } from "../errors.js";
import { type SdMaeConfig, tensorShapes } from "../model/config.js";
import { checkTensors, inferConfig, isExtra } from "./infer.js";
import { isStudentTensor, mergeStudent, requireSameConfig } from "./merge.js";
import { parsePth } from "./pth.js";
import { looksLikeSafetensors, parseSafetensors, type Safetensors, serializeSafetensors } from "./safetensors.js";
import { settingsFromArgs, settingsFromJson, type TrainingSettings } from "./settings.js";
import { looksLikeShardIndex, mergeShards, parseShardIndex } from "./shards.js";
import { asFloat32, type StoredTensor } from "./tensor.js";
import { shown } from "./text.js";
import { unwrap } from "./wrappers.js";

/** Begins the names of the optimiser's tensors (training_checkpoint.ts). */
export const optimizerPrefix = "optimizer.";

/** Keys of the safetensors metadata; the values are JSON. */
const configKey = "sdmae.config";
const settingsKey = "sdmae.settings";

/** One tensor of the network. */
export interface Weight {
  shape: readonly number[];
  /** Row-major. */
  data: Float32Array;
}

/** A network's weights and sizes, which were checked against each other. */
export interface Checkpoint {
  config: SdMaeConfig;
  /**
   * Exactly the tensors of `tensorShapes(config)`, in that order and those shapes. All values are
   * finite.
   */
  weights: Map<string, Weight>;
  /**
   * What else the original saves (BatchNorm's `num_batches_tracked`, four morphology weights). The
   * network does not need it. It is kept so that the original can load an exported checkpoint.
   */
  extras: Map<string, StoredTensor>;
  /** What is known about the training. */
  settings: TrainingSettings;
  /** The file or files that it was read from, for messages. */
  source: string;
  /** How many tensors came from a separate student file; 0 without one. */
  overlaid: number;
  /**
   * How many tensors of the files were left out because they lie outside of the network, such as a
   * loss's weights beside Lightning's `model.`; undefined if none.
   */
  leftOut?: number;
}

/** A file's name, for messages, and its content. */
export interface CheckpointFile {
  name: string;
  bytes: Uint8Array;
  /**
   * The parts, if the checkpoint is split into several files. Then `bytes` is their index
   * (`model.safetensors.index.json`), or empty if there is none. What follows the last slash of a
   * part's name is its name in the index.
   */
  shards?: readonly CheckpointFile[];
}

/** Options of {@link openCheckpoint}. */
export interface OpenOptions {
  /** Attention heads. Default: what the file says, which a .pth does not, else the original's 4. */
  heads?: number;
}

/** One file's tensors before merging, checked against the sizes that their shapes give. */
interface CheckpointPart {
  tensors: Map<string, StoredTensor>;
  config: SdMaeConfig;
  settings: TrainingSettings;
  leftOut: number;
}

function parseJson(text: string, name: string, key: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${name}: its metadata ${shown(key)} is not valid JSON`);
  }
}

/** A file's content, whatever its format. */
interface Content {
  tensors: Map<string, StoredTensor>;
  settings: TrainingSettings;
  /** The sizes that the metadata of safetensors states; not checked. */
  stated?: ReadonlyMap<string, unknown>;
}

function readSafetensors({ name, bytes }: CheckpointFile): Content {
  const { tensors, metadata } = parseSafetensors(bytes, name);
  for (const tensorName of tensors.keys()) if (tensorName.startsWith(optimizerPrefix)) tensors.delete(tensorName);
  const declared = Object.hasOwn(metadata, configKey) ? parseJson(metadata[configKey], name, configKey) : undefined;
  if (declared !== undefined && (typeof declared !== "object" || declared === null)) {
    throw new InputError(`${name}: its metadata ${shown(configKey)} is not a JSON object`);
  }
  const settings = Object.hasOwn(metadata, settingsKey) ? parseJson(metadata[settingsKey], name, settingsKey) : {};
  return {
    tensors,
    settings: settingsFromJson(settings),
    ...(declared && { stated: new Map<string, unknown>(Object.entries(declared)) }),
  };
}

function readShards({ name, bytes, shards = [] }: CheckpointFile): Content {
  const index = bytes.length > 0 ? parseShardIndex(bytes, name) : undefined;
  const nameOf = (shard: CheckpointFile) =>
    shard.name.slice(Math.max(...["/", "\\"].map((c) => shard.name.lastIndexOf(c))) + 1);
  const missing = index?.files.find((wanted) => !shards.some((shard) => nameOf(shard) === wanted));
  if (missing !== undefined)
    throw new InputError(`${name}: an index of shards; its shard ${shown(missing)} is missing`);
  const contents = shards.map((shard) => readContent({ name: shard.name, bytes: shard.bytes }));
  const parts = shards.map((shard, i) => ({ file: nameOf(shard), name: shard.name, tensors: contents[i].tensors }));
  return {
    tensors: mergeShards(parts, index),
    settings: Object.assign({}, ...contents.map(({ settings }) => settings)),
    stated: contents.find(({ stated }) => stated)?.stated,
  };
}

function readContent(file: CheckpointFile): Content {
  if (file.shards || looksLikeShardIndex(file.bytes)) return readShards(file);
  if (looksLikeSafetensors(file.bytes)) return readSafetensors(file);
  const { tensors, args, epoch } = parsePth(file.bytes, file.name);
  return { tensors, settings: settingsFromArgs(args, epoch) };
}

function openPart(file: CheckpointFile, heads: number | undefined): CheckpointPart {
  const { name } = file;
  const { tensors: wrapped, settings, stated } = readContent(file);
  const { tensors, prefix, leftOut } = unwrap(wrapped, name);
  const statedHeads = stated?.get("heads");
  try {
    const config = inferConfig(tensors, name, heads ?? (typeof statedHeads === "number" ? statedHeads : undefined));
    for (const key of stated ? (Object.keys(config) as (keyof SdMaeConfig)[]) : []) {
      if (key !== "heads" && stated!.get(key) !== config[key]) {
        throw new InputError(
          `${name}: ${key} is ${shown(String(JSON.stringify(stated!.get(key))))} in its metadata, but ${config[key]} by its tensors`,
        );
      }
    }
    checkTensors(tensors, config, name);
    for (const [tensorName, tensor] of tensors) if (!isExtra(tensorName)) checkValues(tensorName, tensor, name);
    return { tensors, config, settings, leftOut };
  } catch (error) {
    if (!(error instanceof InputError) || prefix === "") throw error;
    throw new InputError(`${error.message}; in the file, each name begins with ${shown(prefix)}`);
  }
}

/** Refuses values that would otherwise only show up as scores of NaN. */
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
 * Opens a checkpoint: one file, or a teacher's and a student's, merged as the original does for
 * inference (docs/method.md §4). Each file may be a .pth or safetensors, whatever its name says, or
 * be split into shards. Prefixes and dictionaries that training frameworks put around the network's
 * tensors are taken off (wrappers.ts, pth_state.ts).
 * Checks every tensor's name, shape and values. Ignores the optimiser of a training checkpoint.
 * Weights from safetensors may be views of `bytes`.
 * @throws InputError if a file is damaged, is not an SD-MAE checkpoint or holds values that are not
 * finite, or if the two files' networks differ
 */
export function openCheckpoint(files: readonly CheckpointFile[], options: OpenOptions = {}): Checkpoint {
  const [first, second, third] = files;
  if (!first || third) throw new RangeError(`a checkpoint is one or two files, not ${files.length}`);
  const teacher = openPart(first, options.heads);
  let tensors = teacher.tensors;
  let { leftOut } = teacher;
  let overlaid = 0;
  if (second) {
    const student = openPart(second, options.heads);
    if (![...student.tensors.keys()].some(isStudentTensor)) {
      throw new InputError(`${second.name}: has no student tensors`);
    }
    requireSameConfig(teacher.config, first.name, student.config, second.name);
    ({ tensors, overlaid } = mergeStudent(teacher.tensors, student.tensors));
    leftOut += student.leftOut;
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
    ...(leftOut > 0 && { leftOut }),
  };
}

/** Options of {@link saveCheckpoint}. */
export interface SaveOptions {
  /**
   * Weights as float16, rounded to nearest. BatchNorm's running statistics stay float32: they are
   * only 0.25% of the values, and dividing by the root of a small variance would magnify the
   * rounding.
   */
  half?: boolean;
}

/** The largest finite float16. Values from 65520 on would round to infinity. */
const halfLimit = 65504;

/** @throws InputError if a value is too large for float16 */
function asHalf(tensorName: string, { shape, data }: Weight, source: string): StoredTensor {
  const at = data.findIndex((value) => !(Math.abs(value) < halfLimit + 16));
  if (at >= 0) {
    throw new InputError(
      `${source}: tensor ${shown(tensorName)} holds ${data[at]} at position ${at}, beyond float16's ${halfLimit}; save it as float32`,
    );
  }
  return { dtype: "F16", shape, data };
}

/**
 * The tensors and metadata that {@link saveCheckpoint} writes.
 * @throws InputError if `half` is set and a weight is too large for float16
 */
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
 * A checkpoint as a safetensors file with all tensors, sizes and settings. {@link openCheckpoint}
 * reads it.
 * @throws InputError if `half` is set and a weight is too large for float16
 */
export function saveCheckpoint(checkpoint: Checkpoint, options: SaveOptions = {}): Uint8Array {
  const { tensors, metadata } = checkpointContent(checkpoint, options);
  return serializeSafetensors(tensors, metadata);
}
