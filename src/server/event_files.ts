// Whether the files of an event are still there: quotas delete them, never the event.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { CameraEvent } from "./records.js";

/** Paths of files are below this folder of the data folder; nothing else is looked at. */
const pattern = /^clips\/(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/;

/**
 * Whether an event had a clip, or an anomaly's picture, that was deleted since.
 * @param data the data folder
 */
export async function wasDeleted(data: string, { clip, snapshot }: CameraEvent): Promise<boolean> {
  const file = clip ?? snapshot;
  if (file === undefined) return false;
  if (!pattern.test(file)) return true;
  return stat(join(data, file)).then(
    (found) => !found.isFile(),
    (error: NodeJS.ErrnoException) => error.code === "ENOENT" || error.code === "ENOTDIR",
  );
}
