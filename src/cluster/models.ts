// Models on their way to workers: kept by their SHA-256, and checked by it wherever they arrive.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { InputError } from "../errors.js";
import { AtomicFile, makeFolder } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import type { Archive } from "./messages.js";
import { isStored, putFile } from "./objects.js";

/** Bytes of a model; larger ones are refused. */
const LARGEST = 4e9;

/** The SHA-256 of a file, in hexadecimal. @throws InputError if it cannot be read */
export async function hashOf(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Buffer);
  } catch (error) {
    signal?.throwIfAborted();
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
  return hash.digest("hex");
}

/**
 * Puts a model into the store, unless it is there.
 * @param path of a .safetensors or .pth file
 */
export async function putModel(store: ObjectStore, path: string): Promise<Archive["model"]> {
  const extension = extname(path).toLowerCase();
  if (extension !== ".safetensors" && extension !== ".pth") {
    throw new InputError(`${oneLine(path)} is no checkpoint: its name ends in .safetensors or .pth`);
  }
  const hash = await hashOf(path);
  if (!(await isStored(store, hash))) await putFile(store, hash, path);
  return { hash, extension, name: basename(path) };
}

/** Models whose content was checked, by their paths: what they looked like then. */
const checked = new Map<string, string>();

/** What a file looks like without reading it; undefined if there is none. */
async function looksOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && [found.ino, found.size, found.mtimeNs].join();
}

/** Whether a file has the content of a hash. It is read again only if it seems to have changed. */
async function isModel(path: string, hash: string, signal: AbortSignal | undefined): Promise<boolean> {
  const looks = await looksOf(path);
  if (looks === undefined) return false;
  if (checked.get(path) === looks) return true;
  checked.delete(path);
  const found = await hashOf(path, signal).catch(() => signal?.throwIfAborted());
  if (found !== hash) return false;
  checked.set(path, looks);
  return true;
}

/**
 * The path of a model on this machine: from the folder, or else from the store.
 * @throws InputError if the store has none, or what came is not that model; the signal's reason
 */
export async function fetchModel(
  store: ObjectStore,
  { hash, extension, name }: Archive["model"],
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  const path = join(folder, hash + extension);
  if (await isModel(path, hash, signal)) return path;
  const found = await store.get(hash);
  if (!found) throw new InputError(`the model ${oneLine(name)} (${hash.slice(0, 8)}) is not in the store`);
  await makeFolder(folder);
  const file = await AtomicFile.create(path);
  try {
    let size = 0;
    for await (const chunk of found.data as unknown as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      size += chunk.length;
      if (size > LARGEST) throw new InputError(`the model ${oneLine(name)} is larger than ${LARGEST} bytes`);
      await file.write(chunk);
    }
    await file.commit();
  } finally {
    await file.discard();
  }
  if (await isModel(path, hash, signal)) return path;
  await rm(path, { force: true });
  throw new InputError(`the model ${oneLine(name)} that came is not the one with the hash ${hash.slice(0, 8)}`);
}
