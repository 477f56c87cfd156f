// Brings the results of uploaded videos from the store to a folder, under the names that they have
// with a shared folder. What comes is checked like any file from outside.
import { randomBytes } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { unzipSync } from "fflate";
import { InputError } from "../errors.js";
import { makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { parsed, resultPaths, UNFINISHED, unfinishedName, videoKey } from "./archive.js";
import type { Cluster } from "./connection.js";
import { type Archive, isInside, type VideoRecord, videoSchema } from "./messages.js";
import { fetchFile, type ResultPart, resultName } from "./uploads.js";

/** Bytes of a result, of a report that is unpacked, and files in it. */
const LARGEST: Readonly<Record<ResultPart, number>> = { "scores.csv": 4e9, "events.csv": 1e9, "report.zip": 5e8 };
const LARGEST_REPORT = 1e9;
const MOST_FILES = 10_000;

/** Where results go, and whether they stay in the store too. */
export interface FetchOptions {
  out: string;
  keep: boolean;
  signal: AbortSignal;
}

/**
 * Brings the results of a video to a folder.
 * @returns false if the store has none: they were fetched before
 * @throws InputError if they are not what they should be, or cannot be written
 */
export async function fetchResults(
  cluster: Pick<Cluster, "jetstream" | "videos">,
  store: ObjectStore,
  archive: Archive,
  hash: string,
  { out, keep, signal }: FetchOptions,
): Promise<boolean> {
  const key = videoKey(archive.id, hash);
  const entry = await cluster.videos.get(key);
  const record: VideoRecord | undefined = entry ? parsed(videoSchema, entry) : undefined;
  const token = record?.results;
  if (!entry || record?.state !== "done" || token === undefined) return false;
  const paths = resultPaths({ out: "." }, record.path);
  const wanted: [ResultPart, string][] = [["scores.csv", paths.scores]];
  if (archive.events) wanted.push(["events.csv", paths.events]);
  if (archive.report) wanted.push(["report.zip", paths.report]);
  const folder = join(out, UNFINISHED, `${unfinishedName(archive, { hash })}${randomBytes(4).toString("hex")}`);
  await makeFolder(folder);
  try {
    const renames: [string, string][] = [];
    for (const [part, path] of wanted) {
      const [to, shown] = [join(folder, part), `${part} of ${oneLine(record.path)}`];
      const name = resultName(archive.id, hash, token, part);
      await fetchFile(cluster, store, { name, shown, to, largest: LARGEST[part], signal });
      const isZip = part === "report.zip";
      if (isZip) await unpack(await readFile(to), join(folder, "report"), shown);
      renames.push([isZip ? join(folder, "report") : to, join(out, path)]);
    }
    for (const [from, to] of renames) {
      await makeFolder(dirname(to));
      await rm(to, { recursive: true, force: true });
      await rename(from, to);
    }
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
  if (keep) return true;
  for (const [part] of wanted) await store.delete(resultName(archive.id, hash, token, part));
  const { results: _, ...fetched } = record;
  // If another one has fetched it, or it was submitted again, this is not the last word.
  await cluster.videos.update(key, JSON.stringify(fetched), entry.revision).catch(() => {});
  return true;
}

/** Unpacks a report. @throws InputError if it is no sound zip archive, or has files elsewhere */
async function unpack(bytes: Uint8Array, folder: string, shown: string): Promise<void> {
  let [count, size] = [0, 0];
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(bytes, {
      filter: ({ name, originalSize }) => {
        count++;
        size += originalSize;
        if (count > MOST_FILES || size > LARGEST_REPORT) throw new InputError(`${shown} is too large when unpacked`);
        if (!isInside(name)) throw new InputError(`${shown} holds a file that leads elsewhere: ${oneLine(name)}`);
        return true;
      },
    });
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`${shown} is damaged`);
  }
  await makeFolder(folder);
  for (const [name, content] of Object.entries(files)) {
    await makeFolder(dirname(join(folder, name)));
    await writeFileAtomic(join(folder, name), content);
  }
}
