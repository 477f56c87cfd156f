import { statfs } from "node:fs/promises";

/** Bytes that are free where a folder is; infinite if it is not known. */
export async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
