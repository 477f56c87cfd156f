// What a camera is read from, one connection after the other: a stream or a file; or a folder that
// grows, recording by recording, or image by image.
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { isAddress } from "../../node/media/address.js";
import { findFfmpeg, startFfmpeg } from "../../node/media/ffmpeg.js";
import { GrowingFolder, type GrowingFolderOptions, type NewFile } from "../../node/media/growing_folder.js";
import type { LiveInput } from "../../node/media/live_input.js";
import { FrameTimes, ImageTimes, type MachineClock, RecordedClock, RecordingTimes, type Times } from "./frame_time.js";
import type { Image } from "./image_files.js";

/** A connection that can be made. */
export interface Reading {
  /** For `capture`. */
  source: string | LiveInput;
  times: Times;
  /**
   * A stream: its newest frames count. A recording or images of a folder: frames wait to be scored.
   * If a recording fails, the next one follows.
   */
  kind: "stream" | "recording" | "images";
}

/** What {@link CameraSource} needs to know. */
export interface CameraSourceOptions {
  /** An address, `device:PATH`, a file or a folder. */
  source: string;
  /** Frames per second that are scored. */
  fps: number;
  /** Frames of a file come as fast as they are read. */
  fast?: boolean;
  clock: MachineClock;
  /** Takes in a line about a file that is left out. */
  warn(line: string): void;
  /** A folder waits for its next file. */
  onWait?(): void;
  /** How a folder is watched; for tests. */
  folder?: Omit<GrowingFolderOptions, "warn">;
}

/** A camera's source. What was once a folder stays one, while it is away too. */
export class CameraSource {
  private folder: FolderSource | undefined;

  constructor(private readonly options: CameraSourceOptions) {}

  /**
   * The next connection; of a folder, once there is a new file.
   * @throws InputError if a folder cannot be read, or its images do not come; the signal's reason
   */
  async next(signal: AbortSignal): Promise<Reading> {
    const { source, fps, fast = false, clock } = this.options;
    if (!this.folder && (await isFolder(source))) this.folder = new FolderSource(this.options);
    if (this.folder) return this.folder.next(signal);
    return { source, times: new FrameTimes(fps, !fast, clock), kind: "stream" };
  }
}

async function isFolder(source: string): Promise<boolean> {
  if (isAddress(source) || source.startsWith("device:")) return false;
  return stat(source).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/** Seconds until an image must have come. A recorder may write no video for days. */
const FIRST_IMAGE = 30;
/** Seconds for which a folder may not be readable until it counts as away. */
const MOST_FAILING = 10;

/** A folder that grows. */
class FolderSource {
  private readonly folder: GrowingFolder;
  private readonly clock: RecordedClock;
  /** Belongs to the next connection. */
  private held: NewFile | undefined;
  private readonly pace: Pace;

  constructor(private readonly options: CameraSourceOptions) {
    this.folder = new GrowingFolder(options.source, { ...options.folder, warn: options.warn });
    this.clock = new RecordedClock(options.clock);
    this.pace = new Pace(options);
  }

  async next(signal: AbortSignal): Promise<Reading> {
    for (;;) {
      const file = await this.nextFile(signal);
      if (file.kind === "video") return this.recording(file);
      const first = await this.image(file);
      if (first) return this.images(file, first);
    }
  }

  private async nextFile(signal: AbortSignal): Promise<NewFile> {
    const file = this.held;
    this.held = undefined;
    if (file) return file;
    const { folder } = this;
    this.options.onWait?.();
    const patience = AbortSignal.timeout(1000 * FIRST_IMAGE);
    let failing: number | undefined;
    for (;;) {
      try {
        return await folder.next(folder.kind === "image" ? AbortSignal.any([signal, patience]) : signal);
      } catch (error) {
        signal.throwIfAborted();
        failing ??= performance.now();
        if (patience.aborted)
          throw new InputError(`${oneLine(folder.path)}: no new image came within ${FIRST_IMAGE} s`);
        // A network mount may stumble.
        if (performance.now() - failing > 1000 * MOST_FAILING) throw error;
      }
    }
  }

  /** A video that was recorded until its file's time. */
  private async recording({ path, modified, born }: NewFile): Promise<Reading> {
    const args = recordingArgs(path);
    const seconds = await durationOf(args);
    // Without a duration, as of a recording that was cut off, it begins when its file was made.
    const start = seconds === undefined ? born : modified - 1000 * seconds;
    const input = { name: path, before: [], ends: true, open: async () => ({ args, hidden: resolve(path) }) };
    return { source: input, times: new RecordingTimes(this.options.fps, start, this.clock), kind: "recording" };
  }

  /** Images from this one on, until none comes for long or videos come. */
  private images(file: NewFile, first: Image): Reading {
    const { options, folder } = this;
    const { width, height } = first;
    const times = new ImageTimes(options.fps, this.clock);
    const source: LiveInput = {
      ...{ name: folder.path, before: [], ends: true, isRaw: true },
      open: async () => {
        const closing = new AbortController();
        const size = ["-video_size", `${width}x${height}`, "-framerate", String(options.fps)];
        const frames = () => this.frames(file, first, times, closing.signal);
        return {
          args: ["-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "bgr24", ...size, "-i", "pipe:0"],
          ...{ stdin: "pipe", hidden: "pipe:0" },
          write: (stdin) => passOn(frames(), stdin, closing.signal),
          close: async () => closing.abort(),
        };
      },
    };
    return { source, times, kind: "images" };
  }

  /** Frames of one size. Images that come faster than frames are wanted are left out. */
  private async *frames(file: NewFile, first: Image, times: ImageTimes, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { width, height } = first;
    const { scaled } = await imageFiles();
    let image: Image | undefined = first;
    let next = file;
    for (;;) {
      if (image && times.add(next.modified)) {
        this.pace.add(next.modified);
        yield await scaled(image, width, height);
      }
      next = await this.folder.next(signal);
      if (next.kind === "video") {
        this.held = next;
        return;
      }
      image = await this.image(next);
    }
  }

  /** Undefined if it cannot be read: then there was a warning. */
  private async image(file: NewFile): Promise<Image | undefined> {
    try {
      return await (await imageFiles()).loadImage(file);
    } catch (error) {
      this.options.warn(reasonOf(error));
      return undefined;
    }
  }
}

/** What decodes images is large; other cameras start without it. */
const imageFiles = () => import("./image_files.js");

/** @throws what ended the frames early, unless they are not wanted any longer */
async function passOn(frames: AsyncIterable<Buffer>, stdin: Writable, closing: AbortSignal): Promise<void> {
  let failure: unknown;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* frames;
    } catch (error) {
      if (!closing.aborted) failure = error;
    }
  }
  await pipeline(Readable.from(watched()), stdin).catch(() => {});
  if (failure !== undefined) throw failure;
}

/** Says so if images come more slowly than frames are wanted: then none has neighbours. */
class Pace {
  private readonly times: number[] = [];

  constructor(private readonly options: CameraSourceOptions) {}

  /** @param time of an image, in milliseconds since 1970 */
  add(time: number): void {
    const { fps, warn, source } = this.options;
    if (this.times.length > IMAGES) return;
    const times = this.times;
    times.push(time);
    if (times.length <= IMAGES) return;
    const distances = times.slice(1).map((one, i) => (one - times[i]) / 1000);
    const usual = distances.sort((a, b) => a - b)[IMAGES / 2];
    if (usual < 1.5 / fps) return;
    const rate = Math.max(1, Math.round(1 / usual));
    warn(`${oneLine(source)}: a new image comes every ${usual.toFixed(1)} s; set fps to ${rate} (it is ${fps})`);
  }
}

/** By so many distances of images their rate is known. */
const IMAGES = 20;

/**
 * Formats in which recorders write. Others could name further files: whoever writes into the folder
 * must not have them read.
 */
const FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf";

const recordingArgs = (path: string): string[] => [
  ...["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", `file:${resolve(path)}`],
];

/** Seconds; a longer duration is a damaged header's. */
const LONGEST = 7 * 86_400;

/** A video's duration in seconds, by its header or its time stamps; undefined if it has none. */
async function durationOf(input: readonly string[]): Promise<number | undefined> {
  let seconds: number | undefined;
  const { child, ended } = startFfmpeg(await findFfmpeg(), ["-v", "repeat+level+info", ...input], {
    onLine: ({ text }) => {
      const time = /^\s*Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(text);
      if (time) seconds ??= Number(time[1]) * 3600 + Number(time[2]) * 60 + Number(time[3]);
    },
  });
  child.stdout.resume();
  // Without an output it ends with an error, once it has named the duration.
  await ended;
  return seconds !== undefined && seconds <= LONGEST ? seconds : undefined;
}
