// Writes checkpoints as .pth files: the counterpart of pth.ts.

import { type Zippable, zipSync } from "fflate";
import { InputError } from "../errors.js";
import { tensorShapes } from "../model/config.js";
import type { Checkpoint } from "./checkpoint.js";
import { originalExtras, originalOrder } from "./extras.js";
import { PickleGlobal, PickleObject, type PickleValue } from "./pickle.js";
import { PickleFloat, PickleReference, PickleTuple, writePickle } from "./pickle_write.js";
import type { Setting } from "./pth.js";
import { argsFromSettings } from "./settings.js";
import { type DType, elementCount, encodeTensor, type StoredTensor } from "./tensor.js";
import { shown } from "./text.js";
import type { OptimizerState } from "./training_checkpoint.js";

/** torch.save places every storage at a multiple of this many bytes. */
const alignment = 64;

/** Storage classes of PyTorch by element type. It has none for unsigned integers above one byte. */
const storageNames: Readonly<Partial<Record<DType, string>>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

const orderedDictionary = new PickleGlobal("collections", "OrderedDict");
const rebuildTensor = new PickleGlobal("torch._utils", "_rebuild_tensor_v2");
const storageClasses = new Map(
  Object.entries(storageNames).map(([dtype, name]) => [dtype as DType, new PickleGlobal("torch", name)]),
);

/** AdamW's state and settings, for a .pth. */
export interface AdamWState extends OptimizerState {
  /** How many steps a tensor has had, from 1. */
  step: (tensorName: string) => number;
  learningRate: number;
  betas: readonly [number, number];
  epsilon: number;
  /** For the tensors that decay. */
  weightDecay: number;
}

/** Collects the tensors of a pickle: each gets its own storage. */
class Storages {
  readonly bytes: Uint8Array[] = [];
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  /**
   * Adds a tensor; gives its value in the pickle.
   * @throws InputError if PyTorch has no storage class for its type
   */
  add(name: string, tensor: StoredTensor): PickleValue {
    const storageClass = storageClasses.get(tensor.dtype);
    if (!storageClass) {
      throw new InputError(
        `${this.#source}: tensor ${shown(name)} is of type ${tensor.dtype}, which PyTorch cannot store`,
      );
    }
    const { shape } = tensor;
    const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
    const key = String(this.bytes.push(encodeTensor(tensor)) - 1);
    const id = new PickleTuple(["storage", storageClass, key, "cpu", elementCount(shape)]);
    const hooks = new PickleObject(orderedDictionary, []);
    const sizes = [new PickleTuple(shape), new PickleTuple(strides)];
    return new PickleObject(rebuildTensor, [new PickleReference(id), 0, ...sizes, false, hooks]);
  }
}

/**
 * AdamW's `state_dict()`. Parameters are grouped and numbered as by timm's
 * `param_groups_weight_decay`, which the original uses: group 0 has tensors of one dimension and
 * biases, without weight decay; group 1 has the others. Each is in the order of the model's
 * `named_parameters()`. As in PyTorch, a tensor that has had no gradient yet (the student in stage
 * 1) has no state.
 */
function adamWDictionary(checkpoint: Checkpoint, adamW: AdamWState, storages: Storages): PickleValue {
  const trained = [...tensorShapes(checkpoint.config)].filter(([name]) => !/\.running_(mean|var)$/.test(name));
  const isPlain = ([name, shape]: [string, readonly number[]]) => shape.length === 1 || name.endsWith(".bias");
  const groups = [trained.filter((tensor) => isPlain(tensor)), trained.filter((tensor) => !isPlain(tensor))];
  const state = new Map<PickleValue, PickleValue>();
  let number = 0;
  const parameterGroups = groups.map((group, decays) => {
    const numbers: number[] = [];
    for (const [name] of group) {
      const moments = adamW.moments.get(name);
      if (moments?.second.some((value) => value !== 0)) {
        const { shape, first, second } = moments;
        const add = (what: string, data: Float32Array, sizes: readonly number[]) =>
          storages.add(`${name}, ${what}`, { dtype: "F32", shape: sizes, data });
        const entry = new Map<PickleValue, PickleValue>([
          ["step", add("step", Float32Array.of(adamW.step(name)), [])],
          ["exp_avg", add("exp_avg", first, shape)],
          ["exp_avg_sq", add("exp_avg_sq", second, shape)],
        ]);
        state.set(number, entry);
      }
      numbers.push(number++);
    }
    return new Map<PickleValue, PickleValue>([
      ["weight_decay", new PickleFloat(decays ? adamW.weightDecay : 0)],
      ["lr", new PickleFloat(adamW.learningRate)],
      ["betas", new PickleTuple(adamW.betas.map((beta) => new PickleFloat(beta)))],
      ["eps", new PickleFloat(adamW.epsilon)],
      ["amsgrad", false],
      ["maximize", false],
      ["foreach", null],
      ["capturable", false],
      ["differentiable", false],
      ["fused", null],
      ["decoupled_weight_decay", true],
      ["params", numbers],
    ]);
  });
  return new Map<PickleValue, PickleValue>([
    ["state", state],
    ["param_groups", parameterGroups],
  ]);
}

/** A setting as in the original's `args`: lists of numbers are tuples, numbers are floats. */
function pickledSetting(value: Setting): PickleValue {
  if (Array.isArray(value)) return value.every((item) => typeof item === "number") ? new PickleTuple(value) : value;
  return typeof value === "number" ? new PickleFloat(value) : value;
}

/**
 * A zip archive like torch.save's: nothing is compressed; padding in the headers aligns all
 * contents.
 */
function alignedZip(entries: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const archive: Zippable = {};
  let at = 0;
  for (const [name, content] of entries) {
    // A local header of 30 bytes, the name, the extra field's header of 4. Like torch, pad with "Z"
    // in an extra field "FB".
    const begin = at + 30 + name.length + 4;
    const padding = new Uint8Array((alignment - (begin % alignment)) % alignment).fill(0x5a);
    archive[name] = [content, { extra: { 16966: padding } }];
    at = begin + padding.length + content.length;
  }
  // A fixed date, so that the same content always gives the same bytes.
  return zipSync(archive, { level: 0, mtime: new Date(1980, 0, 1) });
}

/**
 * A checkpoint as a .pth in the original's format, {model, optimizer, epoch, scaler, args}, written
 * as torch.save does (docs/method.md §4). `torch.load(…, weights_only=True)` and `openCheckpoint`
 * read it. Weights are float32, with the original's names and order. Counters and constants that
 * the checkpoint lacks are added. `epoch` is None if it is not known.
 * @param adamW without it, `optimizer` is an empty dictionary
 * @throws InputError if a counter or constant has a type that PyTorch does not have
 */
export function exportPth(checkpoint: Checkpoint, adamW?: AdamWState): Uint8Array {
  const { config, weights, settings, source } = checkpoint;
  const extras = new Map([...originalExtras(config, 0), ...checkpoint.extras]);
  const storages = new Storages(source);
  const model = new PickleObject(orderedDictionary, []);
  for (const name of new Set([...originalOrder(config), ...extras.keys()])) {
    const weight = weights.get(name);
    const tensor: StoredTensor = weight ? { dtype: "F32", ...weight } : extras.get(name)!;
    model.items.set(name, storages.add(name, tensor));
  }
  const root = new Map<PickleValue, PickleValue>([
    ["model", model],
    ["optimizer", adamW ? adamWDictionary(checkpoint, adamW, storages) : new Map()],
    ["epoch", settings.epoch ?? null],
    ["scaler", new Map()],
    ["args", new Map([...argsFromSettings(settings)].map(([name, value]) => [name, pickledSetting(value)]))],
  ]);
  const text = (content: string) => new TextEncoder().encode(content);
  return alignedZip([
    ["archive/data.pkl", writePickle(root)],
    ["archive/.format_version", text("1")],
    ["archive/.storage_alignment", text(String(alignment))],
    ["archive/byteorder", text("little")],
    ...storages.bytes.map((bytes, key) => [`archive/data/${key}`, bytes] as const),
    ["archive/version", text("3\n")],
  ]);
}
