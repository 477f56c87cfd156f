// Files on their way into an object store.
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { ObjectStore } from "@nats-io/obj";

/** Milliseconds for each chunk. */
const TIMEOUT = 60_000;

/**
 * Whether a store has what an SHA-256 names: what was damaged or deleted is put again.
 * @param hash in hexadecimal; the object's name
 */
export async function isStored(store: ObjectStore, hash: string): Promise<boolean> {
  const known = await store.info(hash);
  const digest = Buffer.from(hash, "hex").toString("base64url");
  return known !== null && !known.deleted && known.digest.replace(/=+$/, "") === `SHA-256=${digest}`;
}

/** Puts a file into a store. */
export async function putFile(store: ObjectStore, name: string, path: string): Promise<void> {
  const stream = Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
  await store.put({ name }, stream, { timeout: TIMEOUT });
}
