// Where a detector's checkpoint may come from: URLs, bytes, or a checkpoint that is open already.
import { type Checkpoint, type CheckpointFile, openCheckpoint } from "../checkpoint/checkpoint.js";
import { InputError } from "../errors.js";

/** A checkpoint, or where it is: one or two URLs (teacher, student), a file's bytes, or files. */
export type DetectorSource = string | URL | readonly string[] | Uint8Array | readonly CheckpointFile[] | Checkpoint;

/**
 * Opens a checkpoint; strings are fetched as URLs.
 * @param options `heads`: attention heads, if the file does not name them
 * @throws InputError if a URL cannot be fetched or a file is not a checkpoint
 */
export async function fetchCheckpoint(source: DetectorSource, { heads }: { heads?: number }): Promise<Checkpoint> {
  if (isCheckpoint(source)) return source;
  if (source instanceof Uint8Array) return openCheckpoint([{ name: "the checkpoint", bytes: source }], { heads });
  const parts = (Array.isArray(source) ? source : [source]) as (string | URL | CheckpointFile)[];
  const files = await Promise.all(
    parts.map(async (part) => {
      if (typeof part !== "string" && "bytes" in part) return part;
      const response = await fetch(part).catch((error: Error) => {
        throw new InputError(`${part} cannot be fetched: ${error.message}`);
      });
      if (!response.ok) throw new InputError(`${part} cannot be fetched: status ${response.status}`);
      return { name: String(part), bytes: new Uint8Array(await response.arrayBuffer()) };
    }),
  );
  return openCheckpoint(files, { heads });
}

function isCheckpoint(source: DetectorSource): source is Checkpoint {
  return typeof source === "object" && "weights" in source && "config" in source;
}
