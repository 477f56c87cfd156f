// Keeps clips within their quota: the oldest ones go first. Event lines are never deleted.
import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { freeBytes } from "../node/files/free_bytes.js";
import type { CameraEvent } from "./records.js";

/** How much may be kept. */
export interface Quota {
  days: number;
  bytes: number;
  /** Bytes of the disk that stay free. */
  reserve: number;
}

interface Clip {
  paths: string[];
  bytes: number;
  /** Milliseconds since 1970. */
  time: number;
  isPinned: boolean;
}

/** Where files of an event are, below the data folder, without their ending. */
export function clipBase({ id, camera, start }: CameraEvent): string {
  return `clips/${camera}/${start.slice(0, 10)}/${id}`;
}

/**
 * Deletes what is beyond the quota.
 * @param folder of clips, CAMERA/DAY/ID.mp4 and .jpg. A file ID.keep beside them pins an event's.
 * @returns bytes that remain, and how many events lost their files
 */
export async function keepWithin(
  folder: string,
  quota: Quota,
  now = Date.now(),
): Promise<{ bytes: number; deleted: number }> {
  const clips = await clipsIn(folder);
  let bytes = clips.reduce((sum, clip) => sum + clip.bytes, 0);
  let free = await freeBytes(folder);
  let deleted = 0;
  const oldest = now - quota.days * 86_400_000;
  for (const clip of clips.filter(({ isPinned }) => !isPinned).sort((a, b) => a.time - b.time)) {
    if (clip.time >= oldest && bytes <= quota.bytes && free >= quota.reserve) break;
    for (const path of clip.paths) await rm(path, { force: true }).catch(() => {});
    // A folder that is not empty stays.
    await rmdir(dirname(clip.paths[0])).catch(() => {});
    bytes -= clip.bytes;
    free += clip.bytes;
    deleted++;
  }
  return { bytes, deleted };
}

/** Removes what a process that was killed has left half-written. */
export async function removeUnfinished(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const unfinished = names.filter((name) => /\.tmp(\.list)?$/.test(name));
  await Promise.all(unfinished.map((name) => rm(join(folder, name), { force: true }).catch(() => {})));
}

/** The files of each event. */
async function clipsIn(folder: string): Promise<Clip[]> {
  const events = new Map<string, Clip>();
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  for (const name of names) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile()) continue;
    const event = path.replace(/\.[^./\\]*$/, "");
    const clip = events.get(event) ?? { paths: [], bytes: 0, time: Number.POSITIVE_INFINITY, isPinned: false };
    events.set(event, clip);
    clip.paths.push(path);
    clip.bytes += info.size;
    clip.time = Math.min(clip.time, info.mtimeMs);
    if (path.endsWith(".keep")) clip.isPinned = true;
  }
  return [...events.values()];
}
