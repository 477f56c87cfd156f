// What tests of checkpoints share: digests, hand-made pickles and archives.

import { createHash } from "node:crypto";
import { type Zippable, zipSync } from "fflate";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import type { TensorData } from "../../src/checkpoint/tensor.js";
import type { OptimizerState } from "../../src/checkpoint/training_checkpoint.js";

/**
 * The first 16 digits of SHA-256 over all tensors' bytes, sorted by name. Expected values come from
 * torch.load and hashlib.
 */
export function digest(tensors: ReadonlyMap<string, { data: TensorData }>): string {
  const hash = createHash("sha256");
  for (const name of [...tensors.keys()].sort()) {
    const { buffer, byteOffset, byteLength } = tensors.get(name)!.data;
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex").slice(0, 16);
}

/** The first 16 digits of SHA-256. */
export const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

/** Bytes as hexadecimal digits. */
export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** The {@link digest} of all tensors of a checkpoint. */
export function digestOf({ weights, extras }: Pick<Checkpoint, "weights" | "extras">): string {
  return digest(new Map<string, { data: TensorData }>([...weights, ...extras]));
}

/** Of fixtures/checkpoint/micro-bare.pth, from torch.load. */
export const microDigest = "fdd60f624d096c17";

// Hand-made pickles of protocol 2. Each character of a string is one byte (Latin-1).

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

function int32(value: number): string {
  return String.fromCharCode(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255);
}

/** Parts of a pickle. */
export const py = {
  none: "N",
  text: (value: string) => `X${int32(value.length)}${value}`,
  int: (value: number) => `J${int32(value)}`,
  tuple: (...items: string[]) => `(${items.join("")}t`,
  dict: (...entries: [string, string][]) => `}(${entries.map(([key, value]) => py.text(key) + value).join("")}u`,
  global: (module: string, name: string) => `c${module}\n${name}\n`,
  call: (callee: string, ...args: string[]) => `${callee}${py.tuple(...args)}R`,
  storage: (key: string, count: number, type = "FloatStorage") =>
    `${py.tuple(py.text("storage"), py.global("torch", type), py.text(key), py.text("cpu"), py.int(count))}Q`,
  tensor: (storage: string, size: number[], stride: number[], offset = 0) =>
    py.call(
      py.global("torch._utils", "_rebuild_tensor_v2"),
      storage,
      py.int(offset),
      py.tuple(...size.map(py.int)),
      py.tuple(...stride.map(py.int)),
      "\x89",
      py.call(py.global("collections", "OrderedDict")),
    ),
  pickle: (value: string) => bytesOf(`\x80\x02${value}.`),
};

/** A checkpoint archive of a pickle and storages by key. */
export function archive(
  pickle: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  extra: Zippable = {},
  level: 0 | 6 = 0,
): Uint8Array {
  const entries: Zippable = { "archive/data.pkl": pickle, "archive/byteorder": bytesOf("little"), ...extra };
  for (const [key, bytes] of Object.entries(storages)) entries[`archive/data/${key}`] = bytes;
  return zipSync(entries, { level });
}

/** A checkpoint {model: tensors} with float32 zeros in these shapes. */
export function zerosCheckpoint(shapes: ReadonlyMap<string, readonly number[]>): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const entries = [...shapes].map(([name, shape], index): [string, string] => {
    const count = shape.reduce((a, b) => a * b, 1);
    storages[index] = new Uint8Array(4 * count);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    return [name, py.tensor(py.storage(String(index), count), [...shape], strides)];
  });
  return archive(py.pickle(py.dict(["model", py.dict(...entries)])), storages);
}

/** Made-up moments for every trained tensor. With `student` false the student's are zero. */
export function momentsOf({ weights }: Checkpoint, student = true): OptimizerState["moments"] {
  const moments: OptimizerState["moments"] = new Map();
  for (const [name, { shape, data }] of weights) {
    if (/running_(mean|var)/.test(name)) continue;
    const scale = student || !name.includes("student") ? 0.1 : 0;
    const first = data.map((_, i) => scale * Math.sin(i + name.length));
    moments.set(name, { shape, first, second: first.map((value) => value * value) });
  }
  return moments;
}
