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

/** torch.save puts every storage on a multiple of this many bytes. */
const alignment = 64;

/** Element types by the name of their storage class in PyTorch, which has none for unsigned integers of more than a byte. */
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

/** AdamW where training stands, for a .pth. */
export interface AdamWState extends OptimizerState {
  /** Steps done with a tensor, from 1. */
  step: (tensorName: string) => number;
  learningRate: number;
  betas: readonly [number, number];
  epsilon: number;
  /** Of the tensors that decay. */
  weightDecay: number;
}

/** The tensors of a pickle in the making: each gets a storage of its own. */
class Storages {
  readonly bytes: Uint8Array[] = [];
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  add(name: string, tensor: StoredTensor): PickleValue {
    const storageClass = storageClasses.get(tensor.dtype);
    if (!storageClass) {
      throw new InputError(
        `${this.#source}: tensor ${shown(name)} is of type ${tensor.dtype}, which PyTorch stores none of`,
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
 * AdamW's `state_dict()`. Its parameters are numbered as timm's `param_groups_weight_decay` groups them, which the original uses: group 0
 * without weight decay, the tensors of one dimension and the biases, then group 1 with it, the others, each in the order of the model's
 * `named_parameters()`. A tensor that has had no gradient yet (the student in stage 1) has no state, as in PyTorch.
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

/** A setting as the original's `args` has it: pairs of numbers are tuples, single numbers floats. */
function pickledSetting(value: Setting): PickleValue {
  if (Array.isArray(value)) return value.every((item) => typeof item === "number") ? new PickleTuple(value) : value;
  return typeof value === "number" ? new PickleFloat(value) : value;
}

/** A zip archive as torch.save's: nothing compressed, the content of every entry aligned by padding its header. */
function alignedZip(entries: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const archive: Zippable = {};
  let at = 0;
  for (const [name, content] of entries) {
    // A local header of 30 bytes, the name, the extra field's own header of 4; torch pads in a field "FB" of Z's, too.
    const begin = at + 30 + name.length + 4;
    const padding = new Uint8Array((alignment - (begin % alignment)) % alignment).fill(0x5a);
    archive[name] = [content, { extra: { 16966: padding } }];
    at = begin + padding.length + content.length;
  }
  // A date, so that the same content always gives the same bytes.
  return zipSync(archive, { level: 0, mtime: new Date(1980, 0, 1) });
}

/**
 * A checkpoint as a .pth in the original's format, {model, optimizer, epoch, scaler, args}, as torch.save writes it;
 * `torch.load(…, weights_only=True)` and `openCheckpoint` read it. All float32, under the original's names and in its order, with whatever of
 * the original's counters and constants the checkpoint lacks. `optimizer` is an empty dictionary without `adamW`, `epoch` None where it is
 * not known.
 * @throws InputError for a counter or constant of a type that PyTorch does not have
 */
export function exportPth(checkpoint: Checkpoint, adamW?: AdamWState): Uint8Array {
  const { config, weights, settings, source } = checkpoint;
  const extras = new Map([...originalExtras(config, 0), ...checkpoint.extras]);
  const storages = new Storages(source);
  const model = new PickleObject(orderedDictionary, []);
  for (const name of new Set([...originalOrder(config), ...extras.keys()])) {
    const weight = weights.get(name);
    const tensor: StoredTensor = weight ? { dtype: "F32", ...weight } : (extras.get(name) as StoredTensor);
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
