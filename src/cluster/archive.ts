// Archives: many videos that are scored in one way, each once, by whichever worker is free.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { KV, KvEntry } from "@nats-io/kv";
import type { z } from "zod";
import { recordPath } from "../node/files/record_store.js";
import { type Cluster, subjectOf, uploadSubject } from "./connection.js";
import {
  type Archive,
  archiveSchema,
  type VideoJob,
  type VideoRecord,
  videoSchema,
  type videoStates,
} from "./messages.js";

/**
 * A video of an archive: its content's hash, and its path below the shared folder. For a record,
 * its name and the masks' seed in place of the content.
 */
export type ArchiveVideo = Omit<VideoJob, "archive">;

/** Milliseconds without a sign of life, longer than any lease. */
const FORGOTTEN = 2 * 3_600_000;

/** What is to be done with an archive's videos, see {@link Archive}. */
export type Plan = Omit<Archive, "id" | "created">;

/** The key of a video's record. */
export const videoKey = (archive: string, hash: string): string => `${archive}.${hash}`;

/** Where a video's results lie, below the shared folder. */
export function resultPaths({ out = "." }: Pick<Archive, "out">, path: string) {
  return { scores: `${out}/${path}.csv`, events: `${out}/${path}.events.csv`, report: `${out}/${path}.report` };
}

/** Where a video's scores lie, or its record, below the shared folder. */
export function scoresPath({ out, records }: Plan, { path, record }: Pick<ArchiveVideo, "path" | "record">): string {
  if (!records || !record) return resultPaths({ out }, path).scores;
  return `${out ?? "."}/${recordPath(records.made, record.video, record.seed)}`;
}

/** What stands for the content's hash of a record. */
export function recordHash({ video, seed }: NonNullable<VideoJob["record"]>): string {
  return createHash("sha256")
    .update(JSON.stringify([video, seed]))
    .digest("hex");
}

/**
 * The folder of results that are not whole, in that of the results. It stays: if it were removed
 * while it is empty, another worker could just be about to make a folder in it.
 */
export const UNFINISHED = ".sdmae-unfinished";

/** How the folder of a video's unfinished results begins. */
export const unfinishedName = ({ id }: Pick<Archive, "id">, { hash }: Pick<ArchiveVideo, "hash">): string =>
  `${id}-${hash}-`;

/** An archive's id: the same plan continues the same archive. */
export function archiveIdOf({ model, how, out, to, events, report, records }: Plan): string {
  const sorted = Object.entries(how).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([
    model.hash,
    sorted,
    out,
    events,
    report,
    ...(records ? [records] : []),
    ...(to ? [to] : []),
  ]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Begins an archive, or finds the one that an earlier submission began. */
export async function openArchive({ archives }: Pick<Cluster, "archives">, plan: Plan): Promise<Archive> {
  const id = archiveIdOf(plan);
  const archive = { ...plan, id, created: new Date().toISOString() };
  const known = async () => {
    const entry = await archives.get(id);
    return entry ? parsed(archiveSchema, entry) : undefined;
  };
  try {
    return (await known()) ?? (await archives.create(id, JSON.stringify(archive)).then(() => archive));
  } catch (error) {
    // Another submission may have been faster.
    const other = await known();
    if (other) return other;
    throw error;
  }
}

/** How a video is submitted that no folder is shared for. */
export interface Upload {
  /** Whether the results of a video that is done are in the store, or were fetched. */
  hasResults(record: VideoRecord): boolean | Promise<boolean>;
  /** Puts the video into the store, unless it is there. */
  put(): Promise<void>;
}

/**
 * Queues a video, unless it is queued, being scored or done.
 * @param retry whether one that was put aside is tried again
 * @param share the shared folder: results that somebody has deleted are made again
 * @param upload in place of it
 * @returns what was known of it
 */
export async function submitVideo(
  cluster: Pick<Cluster, "videos" | "jetstream">,
  archive: Archive,
  video: ArchiveVideo,
  { share, upload, retry }: { share?: string; upload?: Upload; retry: boolean },
): Promise<VideoRecord["state"] | "new"> {
  const { hash, path } = video;
  const key = videoKey(archive.id, hash);
  const isHere = (below: string) => share === undefined || existsSync(join(share, below));
  for (;;) {
    const entry = await cluster.videos.get(key);
    const record = entry ? parsed(videoSchema, entry) : undefined;
    const isGone =
      // Results were deleted, or a video that waits has another name now.
      (record?.state === "done" && upload && !(await upload.hasResults(record))) ||
      (record?.state === "done" && !isHere(scoresPath(archive, { ...video, path: record.path }))) ||
      (record?.state === "queued" && !archive.records && !isHere(record.path));
    // No worker is silent for so long: the server has lost its message.
    const isForgotten = record?.state === "running" && Date.now() - (entry?.created.getTime() ?? 0) > FORGOTTEN;
    const isKnown = record && !isGone && !isForgotten && !(retry && record.state === "failed");
    if (isKnown && record.state !== "queued") return record.state;
    let revision = entry?.revision ?? 0;
    if (!isKnown) {
      const fresh: VideoRecord = { state: "queued", path, attempts: 0, since: new Date().toISOString() };
      try {
        revision = await cluster.videos.put(key, JSON.stringify(fresh), { previousSeq: revision });
      } catch (error) {
        // A worker, or another submission, has changed it meanwhile.
        if (/wrong last sequence/i.test(String(error))) continue;
        throw error;
      }
    }
    // Whoever was stopped before this line has left a record without a message.
    const job: VideoJob = { archive: archive.id, ...video, path: isKnown ? record.path : path };
    // The record is there already: so nobody removes the video meanwhile, unless it just happens.
    await upload?.put();
    const subject = upload ? uploadSubject(archive.id) : subjectOf(archive.id);
    await cluster.jetstream.publish(subject, JSON.stringify(job), { msgID: `${key}.${revision}` });
    await upload?.put();
    return isKnown ? record.state : "new";
  }
}

/** How far an archive is. */
export interface Progress {
  archive: Archive;
  videos: ReadonlyMap<string, VideoRecord>;
  counts: Record<(typeof videoStates)[number], number>;
  /** Frames that were scored, and how many seconds of scoring that took. */
  frames: number;
  seconds: number;
}

/** How far all archives are, the oldest first. */
export async function progressOf({ archives, videos }: Pick<Cluster, "archives" | "videos">): Promise<Progress[]> {
  const all = new Map<string, Archive>();
  for (const [id, archive] of await everything(archives, archiveSchema)) all.set(id, archive);
  const records = new Map<string, Map<string, VideoRecord>>();
  for (const [key, record] of await everything(videos, videoSchema)) {
    const [id, hash] = key.split(".");
    records.set(id, (records.get(id) ?? new Map<string, VideoRecord>()).set(hash, record));
  }
  const found = [...all.values()].map((archive): Progress => {
    const own = records.get(archive.id) ?? new Map<string, VideoRecord>();
    const progress = { archive, videos: own, counts: { queued: 0, running: 0, done: 0, failed: 0 } };
    let [frames, seconds] = [0, 0];
    for (const { state, ...record } of own.values()) {
      progress.counts[state]++;
      frames += record.frames ?? 0;
      seconds += state === "done" ? (record.seconds ?? 0) : 0;
    }
    return { ...progress, frames, seconds };
  });
  return found.sort((a, b) => (a.archive.created < b.archive.created ? -1 : 1));
}

/** An archive's videos with their names: the hashes by the paths. */
export async function pathsOf({ videos }: Pick<Cluster, "videos">, { id }: Archive): Promise<Map<string, string>> {
  const paths = new Map<string, string>();
  for (const [key, { path }] of await everything(videos, videoSchema)) {
    const [archive, hash] = key.split(".");
    if (archive === id) paths.set(path, hash);
  }
  return paths;
}

/** All values of a store that can be read, by their keys. */
async function everything<Schema extends z.ZodType>(store: KV, schema: Schema): Promise<[string, z.infer<Schema>][]> {
  const { state } = (await store.status()).streamInfo;
  if (state.messages === 0) return [];
  // One request for all, and not one for each. The store's own list counts values that are replaced
  // meanwhile, and waits for them.
  const entries = await store.watch();
  const found = new Map<string, z.infer<Schema>>();
  try {
    for await (const entry of entries) {
      const value = parsed(schema, entry);
      if (value) found.set(entry.key, value);
      if (entry.revision >= state.last_seq) break;
    }
  } finally {
    entries.stop();
  }
  return [...found];
}

/** An entry's value; undefined if it is not what it should be. */
export function parsed<Schema extends z.ZodType>(schema: Schema, entry: KvEntry): z.infer<Schema> | undefined {
  if (entry.operation !== "PUT") return undefined;
  try {
    return schema.parse(JSON.parse(entry.string()));
  } catch {
    return undefined;
  }
}
