// Checkpoints that are split into several files (shards), with an index as Hugging Face's libraries
// write it: model.safetensors.index.json, {"weight_map": {tensor: file}}.

import { InputError } from "../errors.js";
import { describeForeign } from "./foreign.js";
import { looksLikeSafetensors } from "./safetensors.js";
import type { StoredTensor } from "./tensor.js";
import { shown } from "./text.js";

/** An index of 100,000 tensors has some 10 MB. SD-MAE has 260. */
const maxIndexBytes = 16 * 2 ** 20;
/** Files of one checkpoint. */
export const maxShards = 256;

/** Which file holds which tensor. */
export interface ShardIndex {
  /** File names, in the order in which the index first names them. They have no folder. */
  files: readonly string[];
  /** The file's name by the tensor's. */
  fileOf: ReadonlyMap<string, string>;
}

/** The name of a shard, taken apart. */
export interface ShardName {
  /** Counted from 1. */
  number: number;
  count: number;
  /** The names of all shards; the first has number 1. */
  all: readonly string[];
  /** The usual name of the index beside it. */
  index: string;
}

/** Whether a file's content is an index of shards, by its beginning. */
export function looksLikeShardIndex(bytes: Uint8Array): boolean {
  if (bytes.length > maxIndexBytes || looksLikeSafetensors(bytes)) return false;
  const head = new TextDecoder().decode(bytes.subarray(0, 4096));
  if (!/^\s*\{/.test(head)) return false;
  // Usually the first or second key; metadata may come before it.
  return /"weight_map"\s*:/.test(head) || /"weight_map"\s*:/.test(new TextDecoder().decode(bytes));
}

/** Takes apart a name such as model-00001-of-00002.safetensors. Undefined for other names. */
export function shardName(fileName: string): ShardName | undefined {
  const found = /^(.{1,200}?)-(\d{2,6})-of-(\d{2,6})\.(safetensors|bin|pth|pt)$/.exec(fileName);
  if (!found) return undefined;
  const [, base, number, total, extension] = found;
  const count = Number(total);
  if (count < 1 || count > maxShards || Number(number) < 1 || Number(number) > count) return undefined;
  const padded = (n: number) => String(n).padStart(number.length, "0");
  return {
    number: Number(number),
    count,
    all: Array.from({ length: count }, (_, i) => `${base}-${padded(i + 1)}-of-${total}.${extension}`),
    index: `${base}.${extension}.index.json`,
  };
}

/** Whether it is a name in the same folder on every system: no separator, drive or stream. */
function isPlainName(text: string): boolean {
  return /^[^./\\:*?"<>|\p{C}][^/\\:*?"<>|\p{C}]{0,250}$/u.test(text) && /\.(safetensors|bin|pth|pt)$/.test(text);
}

/**
 * Reads an index. Takes only names of files in the same folder. Ignores `total_size`, because
 * writers disagree on what it counts; each shard's own header is checked instead.
 * @param name the index's name, for messages
 * @throws InputError if it is damaged, or names a file elsewhere
 */
export function parseShardIndex(bytes: Uint8Array, name: string): ShardIndex {
  const fail = (what: string): never => {
    throw new InputError(`${name}: not a valid index of shards: ${what}`);
  };
  // The index beside a shard may be a Git LFS pointer or a web page, too.
  const isObject = /^\s*\{/.test(new TextDecoder().decode(bytes.subarray(0, 256)));
  const foreign = isObject ? undefined : describeForeign(bytes);
  if (foreign !== undefined) throw new InputError(`${name}: ${foreign}`);
  if (bytes.length > maxIndexBytes) fail(`it has ${bytes.length} bytes; the limit is ${maxIndexBytes}`);
  let index: unknown;
  try {
    index = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    fail("it is not valid JSON; was it cut off?");
  }
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  const map = isRecord(index) && Object.hasOwn(index, "weight_map") ? index.weight_map : undefined;
  if (!isRecord(map)) return fail('it has no "weight_map"');
  const fileOf = new Map<string, string>();
  for (const [tensorName, file] of Object.entries(map)) {
    if (typeof file !== "string") return fail(`the file of tensor ${shown(tensorName)} is not text`);
    if (!isPlainName(file)) {
      return fail(
        `tensor ${shown(tensorName)} is in ${shown(file)}; expected the name of a .safetensors file in the same folder`,
      );
    }
    fileOf.set(tensorName, file);
  }
  const files = [...new Set(fileOf.values())];
  if (files.length === 0) fail("it names no tensors");
  if (files.length > maxShards) fail(`it names ${files.length} files; the limit is ${maxShards}`);
  return { files, fileOf };
}

/** The tensors of one shard. */
export interface ShardTensors {
  /** The file's name in the index, without a folder. */
  file: string;
  /** Its name for messages. */
  name: string;
  tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * All shards' tensors in one map.
 * @param index says which tensor is where; undefined if there is none
 * @throws InputError if two shards hold the same tensor, or the index is of other shards
 */
export function mergeShards(shards: readonly ShardTensors[], index?: ShardIndex): Map<string, StoredTensor> {
  const merged = new Map<string, StoredTensor>();
  for (const { file, name, tensors } of shards) {
    for (const [tensorName, tensor] of tensors) {
      if (merged.has(tensorName)) {
        throw new InputError(`${name}: tensor ${shown(tensorName)} is in another shard as well`);
      }
      const place = index ? index.fileOf.get(tensorName) : file;
      if (place !== file) {
        const where = place === undefined ? "does not name it" : `places it in ${shown(place)}`;
        throw new InputError(`${name}: holds tensor ${shown(tensorName)}, but the index ${where}`);
      }
      merged.set(tensorName, tensor);
    }
    for (const [tensorName, place] of index?.fileOf ?? []) {
      if (place === file && !tensors.has(tensorName)) {
        throw new InputError(`${name}: tensor ${shown(tensorName)} is missing, which the index places here`);
      }
    }
  }
  return merged;
}
