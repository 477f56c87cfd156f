// Reads .pth files of torch.save (since PyTorch 1.6). The format, from _save and _load in PyTorch's
// torch/serialization.py: a zip archive with one folder. In it are `data.pkl`, a pickle whose
// persistent ids name storages; `data/<key>`, the bytes of each storage; and `byteorder`.

import { InputError } from "../errors.js";
import { describeForeign } from "./foreign.js";
import { PickleForeign, PickleGlobal, type PickleHooks, PickleObject, type PickleValue, readPickle } from "./pickle.js";
import { findState } from "./pth_state.js";
import { asFloat32, type DType, decodeTensor, elementBytes, elementCount, type StoredTensor } from "./tensor.js";
import { shown, shownShape } from "./text.js";
import { looksLikeZip, ZipArchive } from "./zip.js";

/** The pickle of the full model with its optimiser has 130 kB. */
const maxPickleBytes = 64 * 2 ** 20;
/**
 * Limit for the values of all tensors together, or the file's size in bytes if that is larger:
 * views can unfold a small file to any size. The paper's model has 3 million values.
 */
const maxElements = 2 ** 26;
const maxDimensions = 64;

/** Element types by the name of their storage class in PyTorch. */
const storageTypes: Readonly<Record<string, DType>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
  // In bytes; the tensor itself names its type.
  UntypedStorage: "U8",
};

/** Element types by their name in torch.dtype, which `_rebuild_tensor_v3` uses. */
const torchTypes: Readonly<Record<string, DType>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
};

/** A storage, by its key in the archive. */
class StorageRef extends PickleForeign {
  readonly type: string;
  readonly key: string;
  readonly count: number;

  constructor(type: string, key: string, count: number) {
    super();
    this.type = type;
    this.key = key;
    this.count = count;
  }
}

/** A tensor as the pickle describes it: a strided view of a storage. Nothing is checked yet. */
class TensorRef extends PickleForeign {
  readonly storage: StorageRef;
  readonly offset: number;
  readonly size: readonly PickleValue[];
  readonly stride: readonly PickleValue[];
  /** Only if the tensor names its type itself; otherwise it has its storage's. */
  readonly type: string | undefined;

  constructor(
    storage: StorageRef,
    offset: number,
    size: readonly PickleValue[],
    stride: readonly PickleValue[],
    type: string | undefined,
  ) {
    super();
    this.storage = storage;
    this.offset = offset;
    this.size = size;
    this.stride = stride;
    this.type = type;
  }
}

function torchHooks(name: string): PickleHooks {
  const tensorFrom = (args: readonly PickleValue[], type: string | undefined): TensorRef => {
    const [storage, offset, size, stride] = args;
    if (
      !(storage instanceof StorageRef) ||
      typeof offset !== "number" ||
      !Array.isArray(size) ||
      !Array.isArray(stride)
    ) {
      throw new InputError(`${name}: its pickle has a tensor without storage, offset, sizes and strides`);
    }
    return new TensorRef(storage, offset, size, stride, type);
  };

  const rebuild = (type: PickleGlobal, args: readonly PickleValue[]): PickleValue | undefined => {
    switch (type.path) {
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        return tensorFrom(args, undefined);
      case "torch._utils._rebuild_tensor_v3":
        return tensorFrom(args, args[6] instanceof PickleGlobal ? args[6].name : "an unnamed type");
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
        return args[0];
      case "torch._tensor._rebuild_from_type_v2": {
        // A tensor with attributes: (function, type, arguments, attributes).
        const [inner, , innerArgs] = args;
        const isTensor = inner instanceof PickleGlobal && inner.module === "torch._utils";
        return isTensor && Array.isArray(innerArgs) ? rebuild(inner, innerArgs) : undefined;
      }
      case "torch.Size":
        return Array.isArray(args[0]) ? args[0] : undefined;
      default:
        return undefined;
    }
  };

  return {
    rebuild,
    persistent(id) {
      if (Array.isArray(id)) {
        const [kind, type, key, , count] = id;
        const isStorage = kind === "storage" && type instanceof PickleGlobal && typeof key === "string";
        if (isStorage && typeof count === "number") return new StorageRef(type.name, key, count);
      }
      throw new InputError(`${name}: its pickle refers to something that is not a storage`);
    },
  };
}

/** Copies a strided view of a storage into row-major order. Elements have `size` bytes. */
function gather(
  storage: Uint8Array,
  size: number,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array {
  const count = elementCount(shape);
  let expected = 1;
  let isContiguous = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) isContiguous = false;
    expected *= shape[axis];
  }
  // Not slice(), which does not copy a Node Buffer.
  if (isContiguous || count === 0) return new Uint8Array(storage.subarray(offset * size, (offset + count) * size));

  const gathered = new Uint8Array(count * size);
  const position = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < size; byte++) gathered[to * size + byte] = storage[from * size + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[axis]++;
      from += strides[axis];
      if (position[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
  return gathered;
}

/** A checked tensor, whose values can be copied. */
interface TensorPlan {
  name: string;
  dtype: DType;
  shape: readonly number[];
  strides: readonly number[];
  offset: number;
  storage: StorageRef;
  storageElementBytes: number;
}

/** Checks tensors and loads their values. */
class TensorLoader {
  readonly #archive: ZipArchive;
  readonly #folder: string;
  readonly #name: string;
  readonly #maxElements: number;
  readonly #storages = new Map<string, Uint8Array>();
  #elements = 0;

  constructor(archive: ZipArchive, folder: string, name: string, archiveBytes: number) {
    this.#archive = archive;
    this.#folder = folder;
    this.#name = name;
    this.#maxElements = Math.max(maxElements, archiveBytes);
  }

  /**
   * Checks a tensor, and the size of all planned tensors together. Copies nothing yet.
   * @throws InputError if it is damaged or too large
   */
  plan(tensorName: string, ref: TensorRef): TensorPlan {
    const fail = (what: string): never => {
      throw new InputError(`${this.#name}: tensor ${shown(tensorName)} ${what}`);
    };
    const storageType = Object.hasOwn(storageTypes, ref.storage.type) ? storageTypes[ref.storage.type] : undefined;
    const named = ref.type !== undefined && Object.hasOwn(torchTypes, ref.type) ? torchTypes[ref.type] : undefined;
    const dtype = ref.type === undefined ? storageType : named;
    if (storageType === undefined || dtype === undefined) {
      return fail(`has the element type ${shown(ref.type ?? ref.storage.type)}, which is not supported`);
    }

    const isSize = (value: PickleValue): value is number =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
    const { size: shape, stride: strides, offset } = ref;
    if (!shape.every(isSize) || !strides.every(isSize) || !isSize(offset) || shape.length !== strides.length) {
      return fail(
        "has a damaged shape: sizes, strides and offset must be whole numbers from 0, with one stride per size",
      );
    }
    if (shape.length > maxDimensions) return fail(`has ${shape.length} dimensions`);
    const count = elementCount(shape);
    if (!(this.#elements + count <= this.#maxElements)) {
      return fail(
        `of shape ${shownShape(shape)} is too large: the limit for all tensors together is ${this.#maxElements} values`,
      );
    }
    this.#elements += count;

    const storageElementBytes = elementBytes[storageType];
    const storageCount = Math.floor((ref.storage.count * storageElementBytes) / elementBytes[dtype]);
    const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis], offset);
    if (count > 0 && last >= storageCount) {
      return fail(
        `reaches outside its storage: shape ${shownShape(shape)}, strides ${shownShape(strides)} and offset ${offset} need ${last + 1} values, but it has ${storageCount}`,
      );
    }
    return { name: tensorName, dtype, shape, strides, offset, storage: ref.storage, storageElementBytes };
  }

  /**
   * Copies a tensor's values. Floating-point ones become float32.
   * @throws InputError if its storage is damaged
   */
  load({ name, dtype, shape, strides, offset, storage, storageElementBytes }: TensorPlan): StoredTensor {
    const bytes = this.#storage(name, storage, storageElementBytes);
    const data = decodeTensor(gather(bytes, elementBytes[dtype], offset, shape, strides), dtype);
    const tensor: StoredTensor = { dtype, shape, data };
    const floats = asFloat32(tensor);
    return floats ? { dtype: "F32", shape, data: floats } : tensor;
  }

  #storage(tensorName: string, ref: StorageRef, size: number): Uint8Array {
    const entry = `${this.#folder}data/${ref.key}`;
    const expected = ref.count * size;
    const found = this.#archive.size(entry);
    if (found === undefined) {
      throw new InputError(
        `${this.#name}: the storage of tensor ${shown(tensorName)}, entry ${shown(entry)}, is missing`,
      );
    }
    if (found !== expected) {
      throw new InputError(
        `${this.#name}: the storage of tensor ${shown(tensorName)} has ${found} bytes instead of ${expected}`,
      );
    }
    const bytes = this.#storages.get(entry) ?? this.#archive.read(entry);
    this.#storages.set(entry, bytes);
    return bytes;
  }
}

/** A setting of the training program that is plain data. */
export type Setting = boolean | number | string | (boolean | number | string)[];

/** What is read from a .pth. */
export interface PthFile {
  /** The model's tensors by name. All floating-point types become float32 (F32), integers stay. */
  tensors: Map<string, StoredTensor>;
  /** The epoch, if the file says it. */
  epoch: number | undefined;
  /** Those of the training program's settings that are plain data. */
  args: Map<string, Setting>;
}

function isScalar(value: PickleValue): value is boolean | number | string {
  return typeof value === "boolean" || typeof value === "number" || typeof value === "string";
}

/**
 * The items of a dictionary or of an object that acts as one (ConfigDict, Namespace, a dict
 * subclass).
 */
function fieldsOf(value: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (value instanceof Map) return value;
  if (!(value instanceof PickleObject)) return new Map();
  if (value.items.size > 0) return value.items;
  if (!(value.state instanceof Map)) return new Map();
  // ml_collections.ConfigDict keeps its items in the attribute _fields.
  const fields = value.state.get("_fields");
  return fields instanceof Map ? fields : value.state;
}

function plainSettings(args: PickleValue | undefined): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, stored] of fieldsOf(args)) {
    // ml_collections.FieldReference
    const value = stored instanceof PickleObject ? (fieldsOf(stored).get("_value") ?? null) : stored;
    if (typeof key !== "string") continue;
    if (isScalar(value)) settings.set(key, value);
    else if (Array.isArray(value) && value.length <= 16 && value.every(isScalar)) settings.set(key, value);
  }
  return settings;
}

/** Refuses a file that is not a zip archive, and says what it is if its first bytes tell. */
function refuseOtherFormat(bytes: Uint8Array, name: string): never {
  const begins = (...codes: number[]) => codes.every((code, i) => bytes[i] === code);
  const foreign = describeForeign(bytes);
  if (foreign !== undefined) throw new InputError(`${name}: ${foreign}`);
  const again = "load it in PyTorch 1.6 or later and torch.save it again";
  // The legacy format begins with a pickled magic number, 0x1950a86a20f9469cfc6c.
  if (begins(0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19)) {
    throw new InputError(`${name}: in torch.save's legacy format from before PyTorch 1.6; ${again}`);
  }
  if (String.fromCharCode(...bytes.subarray(257, 262)) === "ustar") {
    throw new InputError(`${name}: a tar archive, perhaps from PyTorch before 0.2; ${again}`);
  }
  if (begins(0x80)) throw new InputError(`${name}: a bare Python pickle, not a checkpoint of torch.save`);
  throw new InputError(
    bytes.length < 100
      ? `${name}: ${bytes.length} bytes, too few for a checkpoint; was it cut off?`
      : `${name}: neither safetensors nor a checkpoint of torch.save (a zip archive); it is damaged or something else`,
  );
}

/** Says what a zip archive is that does not hold one pickle named data.pkl. */
function refuseOtherArchive(archive: ZipArchive, pickles: number, name: string): never {
  const inner = archive.names.find((entry) => /\.(pth|pt|ckpt|bin|safetensors|tar)$/i.test(entry));
  if (inner !== undefined) {
    throw new InputError(`${name}: a zip archive around ${shown(inner)}; unzip it, and give that file`);
  }
  if (archive.names.some((entry) => entry.endsWith(".npy"))) {
    throw new InputError(`${name}: an archive of NumPy arrays, not a PyTorch checkpoint`);
  }
  throw new InputError(
    `${name}: not a PyTorch checkpoint: a zip archive with ${pickles} data.pkl files instead of one`,
  );
}

/**
 * Reads a checkpoint of torch.save: {model, optimizer, epoch, scaler, args} or some of these, the
 * model's state alone, or what training frameworks write (pth_state.ts). Never runs anything in the
 * file, see pickle.ts. Loads only the model's tensors, under the names that they have in the file.
 * They share no memory with `bytes` or with each other.
 * @param name the file's name, for messages
 * @throws InputError if the file is damaged, asks for forbidden Python code or holds no model
 */
export function parsePth(bytes: Uint8Array, name: string): PthFile {
  if (!looksLikeZip(bytes)) refuseOtherFormat(bytes, name);
  const archive = new ZipArchive(bytes, name);
  const pickles = archive.names.filter((entry) => /^([^/]+\/)?data\.pkl$/.test(entry));
  if (pickles.length !== 1) refuseOtherArchive(archive, pickles.length, name);
  const folder = pickles[0].slice(0, -"data.pkl".length);
  if (archive.has(`${folder}constants.pkl`)) {
    throw new InputError(`${name}: a TorchScript program, not a checkpoint; torch.save its state_dict() instead`);
  }
  if (archive.has(`${folder}byteorder`)) {
    const order = new TextDecoder().decode(archive.read(`${folder}byteorder`).subarray(0, 32)).trim();
    if (order !== "little")
      throw new InputError(`${name}: byte order ${shown(order)} is not supported; only "little" is`);
  }
  const pickleBytes = archive.size(pickles[0])!;
  if (pickleBytes > maxPickleBytes) {
    throw new InputError(`${name}: its pickle has ${pickleBytes} bytes; the limit is ${maxPickleBytes}`);
  }

  const root = readPickle(archive.read(pickles[0]), name, torchHooks(name));
  const { state, around } = findState(root, name, (value) => value instanceof TensorRef);
  const loader = new TensorLoader(archive, folder, name, bytes.length);
  const plans: TensorPlan[] = [];
  for (const [key, value] of state) {
    if (typeof key !== "string") throw new InputError(`${name}: its dictionary of tensors has a key that is not text`);
    if (!(value instanceof TensorRef)) {
      const what = value instanceof PickleObject ? `of the unsupported kind ${shown(value.type.path)}` : "not a tensor";
      throw new InputError(`${name}: ${shown(key)} in its dictionary of tensors is ${what}`);
    }
    plans.push(loader.plan(key, value));
  }
  if (plans.length === 0) throw new InputError(`${name}: holds no tensors`);
  const tensors = new Map(plans.map((plan) => [plan.name, loader.load(plan)]));

  const beside = (key: string) => around.find((dictionary) => dictionary.has(key))?.get(key);
  const epoch = beside("epoch");
  return {
    tensors,
    epoch: typeof epoch === "number" ? epoch : undefined,
    // Lightning's name for them is the second.
    args: plainSettings(beside("args") ?? beside("hyper_parameters")),
  };
}
