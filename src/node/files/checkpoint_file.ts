// Reads checkpoints from files, also those that are split into shards.
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Checkpoint, type CheckpointFile, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { looksLikeShardIndex, parseShardIndex, shardName } from "../../checkpoint/shards.js";
import { InputError } from "../../errors.js";
import { isAddress, parseAddress } from "../media/address.js";
import { reasonOf } from "./messages.js";

/** Node reads at most 2 GiB at once. The paper's checkpoint with its optimiser has 37 MB. */
const maxFileBytes = 2 ** 31 - 1;

/**
 * A file's size in bytes.
 * @param what names it in messages
 * @throws InputError if it is not a file; a pipe or a device may never end
 */
async function sizeOf(path: string, what: string): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAddress(path)) {
      throw new InputError(`${parseAddress(path).shown}: a checkpoint is read from a file: download it first`);
    }
    throw new InputError(`${what}: cannot be read (${reasonOf(error)})`);
  });
  if (found.isFile()) return found.size;
  throw new InputError(
    `${what}: cannot be read (${found.isDirectory() ? "it is a folder" : "it is not a regular file"})`,
  );
}

/**
 * Reads a checkpoint's file without parsing it.
 * @throws InputError if it cannot be read or has over 2 GiB
 */
export async function readCheckpointFile(path: string): Promise<CheckpointFile> {
  const size = await sizeOf(path, path);
  if (size > maxFileBytes) throw new InputError(`${path}: ${size} bytes; checkpoints of at most 2 GiB are read`);
  try {
    return { name: path, bytes: await readFile(path) };
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
}

/** The index beside a shard. Undefined if there is none. */
async function readIndexBeside(path: string, index: string): Promise<CheckpointFile | undefined> {
  const indexPath = join(dirname(path), index);
  const exists = await stat(indexPath).then(
    () => true,
    () => false,
  );
  return exists ? readCheckpointFile(indexPath) : undefined;
}

/**
 * Reads shards that lie in one folder.
 * @param name the index or the shard that was given
 * @throws InputError if one is missing, or they have over 2 GiB together
 */
async function readShards(name: string, files: readonly string[]): Promise<CheckpointFile[]> {
  const paths = files.map((file) => join(dirname(name), file));
  let total = 0;
  for (const [i, path] of paths.entries()) {
    total += await sizeOf(path, `${name}: shard ${i + 1} of ${files.length}, ${path}`);
  }
  if (total > maxFileBytes) {
    throw new InputError(`${name}: ${total} bytes in ${files.length} shards; checkpoints of at most 2 GiB are read`);
  }
  const shards: CheckpointFile[] = [];
  for (const path of paths) shards.push(await readCheckpointFile(path));
  return shards;
}

/** A checkpoint's file with its shards, if it is an index or one of several numbered shards. */
async function readWithShards(path: string): Promise<CheckpointFile> {
  const given = basename(path);
  const shard = shardName(given);
  if (!shard) {
    const file = await readCheckpointFile(path);
    if (!looksLikeShardIndex(file.bytes)) return file;
    return { ...file, shards: await readShards(path, parseShardIndex(file.bytes, path).files) };
  }
  await sizeOf(path, path);
  const index = await readIndexBeside(path, shard.index);
  if (!index) return { name: path, bytes: new Uint8Array(0), shards: await readShards(path, shard.all) };
  const { files } = parseShardIndex(index.bytes, index.name);
  if (!files.includes(given)) throw new InputError(`${path}: the index beside it, ${shard.index}, does not name it`);
  return { ...index, shards: await readShards(index.name, files) };
}

/**
 * Reads a checkpoint: one .safetensors or .pth file, or the teacher's and the student's. If a file
 * is an index of shards, or a shard, all shards are read.
 * @param heads attention heads, if the file does not say
 * @throws InputError that names the file and what is wrong with it
 */
export async function readCheckpoint(paths: readonly string[], heads?: number): Promise<Checkpoint> {
  const files: CheckpointFile[] = [];
  for (const path of paths) files.push(await readWithShards(path));
  return openCheckpoint(files, { heads });
}
