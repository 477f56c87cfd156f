// What a killed process had recorded: when that ended, and the clips of the events it left behind.
import { randomBytes } from "node:crypto";
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeFolder } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraEvent, EventChange } from "../records.js";
import { clipBase } from "../storage.js";
import { joinSegments, MARKER, SEGMENT_NAME } from "./recorder.js";

/**
 * When an earlier process recorded a camera last, in milliseconds since 1970; -Infinity if nothing
 * of it is there. To be asked before {@link rescueClips}, which sets the recording aside.
 */
export async function lastRecorded(data: string, camera: string): Promise<number> {
  const folder = join(data, "segments", camera);
  let last = Number.NEGATIVE_INFINITY;
  for (const name of await readdir(folder).catch(() => [])) {
    if (!SEGMENT_NAME.test(name)) continue;
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info) last = Math.max(last, info.mtimeMs);
  }
  return last;
}

/** What {@link rescueClips} needs. */
export interface RescueOptions {
  /** The data folder. */
  data: string;
  /** Events by their ids, as they are now. */
  events(): Promise<readonly CameraEvent[]>;
  keep(change: EventChange): Promise<unknown>;
  /** Whether the disk has room for clips. */
  hasRoom: boolean;
  /** Takes in a line about a clip that cannot be made. */
  warn(camera: string, line: string): void;
}

/** Of a folder that was set aside; no camera's id holds a point. */
const ASIDE = /^([\w-]+)\.old-[\da-f]+$/;

/**
 * Sets the recordings of an earlier process aside, so that cameras can begin theirs. Then it makes
 * the clips of those events that had none yet, and deletes the recordings.
 * @returns once they are set aside; `done` once the clips are made. Neither fails
 */
export async function rescueClips(options: RescueOptions): Promise<{ done: Promise<void> }> {
  const root = join(options.data, "segments");
  const aside: { camera: string; folder: string }[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const camera = ASIDE.exec(name)?.[1];
    const folder = join(root, camera === undefined ? `${name}.old-${randomBytes(4).toString("hex")}` : name);
    try {
      if (camera === undefined) await rename(join(root, name), folder);
      aside.push({ camera: camera ?? name, folder });
    } catch (error) {
      options.warn(name, `what was recorded before is lost: ${reasonOf(error)}`);
    }
  }
  return { done: rescueAll(aside, options) };
}

async function rescueAll(aside: readonly { camera: string; folder: string }[], options: RescueOptions): Promise<void> {
  for (const { camera, folder } of aside) {
    try {
      if (options.hasRoom) await rescue(camera, folder, options);
    } catch (error) {
      options.warn(camera, `no clips of what was recorded before: ${reasonOf(error)}`);
    }
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

async function rescue(camera: string, folder: string, { data, events, keep, warn }: RescueOptions): Promise<void> {
  const names = await readdir(folder);
  const ids = names.filter((name) => name.endsWith(MARKER)).map((name) => name.slice(0, -MARKER.length));
  if (ids.length === 0) return;
  const wanted = (await events()).filter((event) => ids.includes(event.id) && event.camera === camera);
  for (const event of wanted) {
    if (event.clip !== undefined) continue;
    const first = await readFile(join(folder, `${event.id}${MARKER}`), "utf8");
    const segments = following(names, first).map((name) => join(folder, name));
    const clip = `${clipBase(event)}.mp4`;
    try {
      await makeFolder(dirname(join(data, clip)));
      if (await joinReadable(segments, join(data, clip))) {
        await keep({ change: "clip", time: new Date().toISOString(), event: { ...event, clip } });
      } else warn(camera, `no clip of ${event.id}: nothing was recorded`);
    } catch (error) {
      warn(camera, `no clip of ${event.id}: ${reasonOf(error)}`);
    }
  }
}

/** Segments of a connection from one on, in their order, up to the first one that is gone. */
function following(names: readonly string[], first: string): string[] {
  const [, connection, number] = SEGMENT_NAME.exec(first) ?? [];
  return names
    .flatMap((name) => {
      const [, other, index] = SEGMENT_NAME.exec(name) ?? [];
      return connection !== undefined && other === connection && Number(index) >= Number(number)
        ? [{ name, index: Number(index) }]
        : [];
    })
    .sort((a, b) => a.index - b.index)
    .filter(({ index }, i, all) => index === all[0].index + i)
    .map(({ name }) => name);
}

/** @returns false if there is nothing to join. The last segment was cut off, perhaps in its head */
async function joinReadable(segments: readonly string[], path: string): Promise<boolean> {
  if (segments.length === 0) return false;
  try {
    await joinSegments(segments, path);
  } catch (error) {
    if (segments.length === 1) throw error;
    await joinSegments(segments.slice(0, -1), path);
  }
  return true;
}
