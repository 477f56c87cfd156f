// A camera's normal video: the files, and their frames as the camera scores them.
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Frame, FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { Pieces } from "../../node/media/decode.js";
import { ffmpegReason, findFfmpeg, startFfmpeg } from "../../node/media/ffmpeg.js";
import { privacyFilters } from "../capture.js";
import type { RelativeBox } from "../records.js";
import { folderOf } from "./known.js";

/** The folder of a camera's normal video. @param data the data folder */
export const normalFolder = (data: string, camera: string): string => join(folderOf(data, { id: camera }), "normal");

const KEPT = /^kept-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.mkv$/;

/** The name of a piece that `watch` keeps by itself. @param time milliseconds since 1970 */
export const keptName = (time: number): string =>
  `kept-${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, "")}.mkv`;

/** Whether `watch` kept a file by itself; others were marked as normal by people. */
export const isKept = (name: string): boolean => KEPT.test(name);

/** When a piece was kept, in milliseconds since 1970. */
export function keptTime(name: string): number {
  const [year, month, ...rest] = (KEPT.exec(name) ?? []).slice(1).map(Number);
  return Date.UTC(year, month - 1, ...rest);
}

/** A file of normal video. */
export interface NormalClip {
  name: string;
  path: string;
  seconds: number;
}

/**
 * The normal video in a folder, by name.
 * @param onFault receives a line for each video that cannot be read, which is left out
 * @throws InputError if the folder cannot be read
 */
export async function normalClips(folder: string, onFault: (line: string) => void): Promise<NormalClip[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new InputError(`${oneLine(folder)} cannot be read: ${reasonOf(error)}`);
  });
  const clips: NormalClip[] = [];
  for (const name of names.filter((one) => /\.(mkv|mp4)$/.test(one)).sort()) {
    const path = join(folder, name);
    const seconds = (await isFile(path)) ? await lengthOf(path) : undefined;
    if (seconds === undefined) onFault(`${oneLine(path)} is left out: it is no video that can be read`);
    else clips.push({ name, path, seconds });
  }
  return clips;
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );

const DURATION = /^\s*Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/;

/** Seconds of a video by its header; undefined if there is none. */
async function lengthOf(path: string): Promise<number | undefined> {
  let seconds: number | undefined;
  const args = ["-v", "repeat+level+info", ...inputOf(path)];
  const { child, ended } = startFfmpeg(await findFfmpeg(), args, {
    onLine: ({ text }) => {
      const [, hours, minutes, rest] = DURATION.exec(text) ?? [];
      if (hours) seconds ??= 3600 * Number(hours) + 60 * Number(minutes) + Number(rest);
    },
  });
  child.stdout.resume();
  // Without an output it ends with an error, once it has named the streams.
  await ended;
  return seconds;
}

/** An absolute path behind "file:" is no option and no address; a playlist opens nothing else. */
const inputOf = (path: string): string[] => ["-protocol_whitelist", "file", "-i", `file:${resolve(path)}`];

/** How a camera's frames are scored. */
export interface ScoredFrames {
  fps: number;
  /** Pixels. */
  size: { width: number; height: number };
  privacy: readonly RelativeBox[];
}

/** A file's frames as the camera scores them: at its rate and size, with what is private black. */
export function clipFrames({ name, path, seconds }: NormalClip, { fps, size, privacy }: ScoredFrames): FrameSource {
  const filters = [...privacyFilters(privacy), `fps=${fps}`, `scale=${size.width}:${size.height}:flags=area`];
  async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    signal?.throwIfAborted();
    const raw = ["-map", "0:V:0", "-vf", filters.join(","), "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"];
    const args = ["-v", "repeat+level+error", "-max_error_rate", "1", ...inputOf(path), ...raw];
    const run = startFfmpeg(await findFfmpeg(), args);
    const onAbort = (): void => void run.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    let index = 0;
    try {
      for await (const data of new Pieces(run.child.stdout, 3 * size.width * size.height).whole()) {
        signal?.throwIfAborted();
        yield { data, ...size, index, number: index, time: index / fps };
        index++;
      }
      const end = await run.ended;
      signal?.throwIfAborted();
      if (end.code !== 0) throw new InputError(`${oneLine(path)}: ${ffmpegReason(run.log, end, resolve(path))}`);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await run.stop();
    }
  }
  return { name, ...size, fps, estimatedFrameCount: Math.round(seconds * fps), frames };
}
