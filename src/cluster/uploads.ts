// Videos that no folder is shared for: they travel through an object store, as do their results.
// They have a queue of their own, because workers without a shared folder take nothing else.
import { createHash } from "node:crypto";
import { rm, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { ObjectInfo, ObjectStore } from "@nats-io/obj";
import { InputError } from "../errors.js";
import { AtomicFile } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { parsed } from "./archive.js";
import { type Cluster, openWorkers, orMake, UPLOADS } from "./connection.js";
import { videoSchema } from "./messages.js";
import { isStored, putFile } from "./objects.js";

/** The store of videos, by their SHA-256, and of results, see {@link resultName}. */
const FILES = "sdmae_files";
/** Bytes of a video; larger ones are refused. */
export const LARGEST_VIDEO = 50e9;
/** Chunks of an object that are asked for at once, and milliseconds until they must be there. */
const CHUNKS = 64;
const PATIENCE = 30_000;

/** The results of a video, as they are called in the store. */
export const resultParts = ["scores.csv", "events.csv", "report.zip"] as const;
export type ResultPart = (typeof resultParts)[number];

/** An object's name: results of an attempt that was lost have another token. */
export const resultName = (archive: string, hash: string, token: string, part: ResultPart): string =>
  `${archive}.${hash}.${token}.${part}`;

type Connection = Pick<Cluster, "jetstream" | "manager">;

/** Makes the queue and the store of uploads, unless they are there. */
export async function makeUploads({ jetstream, manager }: Connection): Promise<ObjectStore> {
  const { Objm } = await import("@nats-io/obj");
  const objects = new Objm(jetstream);
  await orMake(
    () => manager.streams.info(UPLOADS),
    () => manager.streams.add({ name: UPLOADS, subjects: ["sdmae.upload.>"], retention: "workqueue" }),
  );
  await openWorkers(manager, UPLOADS, undefined);
  return orMake(
    () => objects.open(FILES),
    () => objects.create(FILES),
  );
}

/** The store of uploads; undefined as long as nobody has uploaded anything. */
export async function findUploads(
  { jetstream, manager }: Connection,
  lease?: number,
): Promise<ObjectStore | undefined> {
  const { Objm } = await import("@nats-io/obj");
  try {
    await manager.streams.info(UPLOADS);
    const store = await new Objm(jetstream).open(FILES);
    await openWorkers(manager, UPLOADS, lease);
    return store;
  } catch (error) {
    if (/not found/i.test(String(error))) return undefined;
    throw error;
  }
}

/** Puts a file into the store, unless it is there. @param name its SHA-256 */
export async function putVideo(store: ObjectStore, name: string, path: string): Promise<void> {
  if (await isStored(store, name)) return;
  const { size } = await stat(path);
  if (size > LARGEST_VIDEO) throw new InputError(`${oneLine(path)} is larger than ${LARGEST_VIDEO} bytes`);
  await putFile(store, name, path);
}

/** What is fetched, and where to. */
export interface Fetching {
  name: string;
  /** For messages. */
  shown: string;
  to: string;
  /** Bytes. */
  largest: number;
  signal: AbortSignal;
}

/**
 * Fetches a file from the store. The client's own way keeps in memory what is not written yet.
 * @returns its SHA-256, which is that of the store
 * @throws InputError if it is not there, too large or damaged; the signal's reason
 */
export async function fetchFile(
  { jetstream }: Pick<Cluster, "jetstream">,
  store: ObjectStore,
  { name, shown, to, largest, signal }: Fetching,
): Promise<string> {
  const info = await store.info(name);
  if (!info || info.deleted) throw new InputError(`${shown} is not in the store`);
  const { size, nuid } = checkedInfo(info, shown);
  if (size > largest) throw new InputError(`${shown} is larger than ${largest} bytes`);
  const { bavail, bsize } = await statfs(dirname(to));
  if (size > bavail * bsize) throw new InputError(`${shown}: there is no space for ${size} bytes in ${dirname(to)}`);
  const chunks = await jetstream.consumers.get(`OBJ_${FILES}`, { filter_subjects: `$O.${FILES}.C.${nuid}` });
  const file = await AtomicFile.create(to);
  const hash = createHash("sha256");
  try {
    for (let there = 0; there < size; ) {
      const before = there;
      for await (const { data } of await chunks.fetch({ max_messages: CHUNKS, expires: PATIENCE })) {
        signal.throwIfAborted();
        there += data.length;
        if (there > size) throw new InputError(`${shown} is larger than it was said to be`);
        hash.update(data);
        await file.write(data);
        if (there === size) break;
      }
      if (there === before) throw new InputError(`${shown} stopped arriving`);
    }
    await file.commit();
  } finally {
    await file.discard();
    await chunks.delete().catch(() => {});
  }
  const found = hash.digest("hex");
  if (`SHA-256=${Buffer.from(found, "hex").toString("base64url")}` === info.digest.replace(/=+$/, "")) return found;
  await rm(to, { force: true });
  throw new InputError(`${shown} arrived damaged`);
}

/** @throws InputError if an object leads elsewhere, or says nonsense of itself */
function checkedInfo({ options, size, nuid }: ObjectInfo, shown: string): { size: number; nuid: string } {
  if (options?.link) throw new InputError(`${shown} leads to another object`);
  if (!Number.isSafeInteger(size) || size < 0 || !/^[A-Za-z0-9]+$/.test(nuid)) {
    throw new InputError(`${shown} is damaged in the store`);
  }
  return { size, nuid };
}

/** Removes a video from the store, unless an archive waits for it. @param hash its SHA-256 */
export async function removeVideo(
  { videos }: Pick<Cluster, "videos">,
  store: ObjectStore,
  hash: string,
): Promise<void> {
  for await (const key of await videos.keys(`*.${hash}`)) {
    const entry = await videos.get(key);
    const state = entry ? parsed(videoSchema, entry)?.state : undefined;
    if (state === "queued" || state === "running") return;
  }
  await store.delete(hash);
}

/** Removes objects whose names begin in this way. */
export async function removeFiles(store: ObjectStore, prefix: string): Promise<void> {
  for (const { name } of await store.list()) if (name.startsWith(prefix)) await store.delete(name);
}
