// Where a detector's checkpoint may come from: URLs, bytes, or a checkpoint that is open already.
import { type Checkpoint, type CheckpointFile, openCheckpoint } from "../checkpoint/checkpoint.js";
import { looksLikeShardIndex, parseShardIndex, shardName } from "../checkpoint/shards.js";
import { InputError } from "../errors.js";

/** A checkpoint, or where it is: one or two URLs (teacher, student), a file's bytes, or files. */
export type DetectorSource = string | URL | readonly string[] | Uint8Array | readonly CheckpointFile[] | Checkpoint;

/**
 * Opens a checkpoint; strings are fetched as URLs. If a file is an index of shards, these are
 * fetched from beside it.
 * @param options `heads`: attention heads, if the file does not name them
 * @throws InputError if a URL cannot be fetched or a file is not a checkpoint
 */
export async function fetchCheckpoint(source: DetectorSource, { heads }: { heads?: number }): Promise<Checkpoint> {
  if (isCheckpoint(source)) return source;
  if (source instanceof Uint8Array) return openCheckpoint([{ name: "the checkpoint", bytes: source }], { heads });
  const parts = (Array.isArray(source) ? source : [source]) as (string | URL | CheckpointFile)[];
  const files = await Promise.all(
    parts.map(async (part) => {
      return typeof part !== "string" && "bytes" in part ? part : fetchWithShards(part);
    }),
  );
  return openCheckpoint(files, { heads });
}

/** A checkpoint's file, with its shards if it is their index. */
async function fetchWithShards(from: string | URL): Promise<CheckpointFile> {
  const path = String(from).replace(/[?#].*$/s, "");
  const shard = shardName(path.slice(path.lastIndexOf("/") + 1));
  if (shard) throw new InputError(`${from} is one of ${shard.count} shards: give their index, ${shard.index}`);
  const { url, ...file } = await fetchFile(from);
  if (!looksLikeShardIndex(file.bytes)) return file;
  if (!/^https?:/.test(url)) throw new InputError(`${from} is an index of shards, which are fetched by http(s) only`);
  // Hosts of models send each file from a store elsewhere. Neighbours are beside what was asked.
  const asked = new URL(String(from), url);
  const base = new URL(url).origin === asked.origin ? url : asked.href;
  const shards: CheckpointFile[] = [];
  for (const name of parseShardIndex(file.bytes, file.name).files) {
    // A name has no folder, so this is beside the index.
    const beside = new URL(encodeURIComponent(name), base);
    const { bytes, url: last } = await fetchFile(beside);
    if (beside.protocol === "https:" && !last.startsWith("https:")) {
      throw new InputError(`${beside} leads from https to http: download the files and check them`);
    }
    shards.push({ name: beside.href.slice(0, -encodeURIComponent(name).length) + name, bytes });
  }
  return { ...file, shards };
}

/** A file, and its address after all redirects. */
async function fetchFile(from: string | URL): Promise<CheckpointFile & { url: string }> {
  const fail = (error: unknown): never => {
    throw new InputError(`${from} cannot be fetched: ${error instanceof Error ? error.message : error}`);
  };
  const response = await fetch(from).catch(fail);
  if (!response.ok) return fail(`status ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer().catch(fail));
  return { name: String(from), bytes, url: response.url };
}

function isCheckpoint(source: DetectorSource): source is Checkpoint {
  return typeof source === "object" && "weights" in source && "config" in source;
}
