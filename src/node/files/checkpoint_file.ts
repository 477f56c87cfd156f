import { readFile, stat } from "node:fs/promises";
import { type Checkpoint, type CheckpointFile, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { InputError } from "../../errors.js";
import { reasonOf } from "./messages.js";

/** Node reads at most 2 GiB at once. The paper's checkpoint with its optimiser has 37 MB. */
const maxFileBytes = 2 ** 31 - 1;

/**
 * Reads a checkpoint's file without parsing it.
 * @throws InputError if it cannot be read or has over 2 GiB
 */
export async function readCheckpointFile(path: string): Promise<CheckpointFile> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) throw new InputError(`${path}: ${size} bytes; checkpoints of at most 2 GiB are read`);
    return { name: path, bytes: await readFile(path) };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
}

/**
 * Reads a checkpoint: one .safetensors or .pth file, or the teacher's and the student's.
 * @param heads attention heads, if the file does not say
 * @throws InputError that names the file and what is wrong with it
 */
export async function readCheckpoint(paths: readonly string[], heads?: number): Promise<Checkpoint> {
  const files: CheckpointFile[] = [];
  for (const path of paths) files.push(await readCheckpointFile(path));
  return openCheckpoint(files, { heads });
}
