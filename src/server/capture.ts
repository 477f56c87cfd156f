// A connection to a camera: one ffmpeg gives frames to score, pictures to show, and the stream's
// own packets in files of a few seconds, from which clips are cut.
import { join, resolve, sep } from "node:path";
import type { Readable } from "node:stream";
import { InputError } from "../errors.js";
import { mkdirs } from "../node/files/atomic.js";
import { type Feed, Pieces } from "../node/media/decode.js";
import { type FfmpegRun, ffmpegReason, findFfmpeg, startFfmpeg } from "../node/media/ffmpeg.js";
import { type LiveInput, type LiveOptions, liveInput } from "../node/media/live_input.js";
import type { RelativeBox } from "./records.js";

/** What is captured, and how. */
export interface CaptureOptions extends LiveOptions {
  /** An address, `device:PATH`, or a file; or an input that is open already. */
  source: string | LiveInput;
  /** Frames per second that are scored. */
  fps: number;
  /** Size of these frames in pixels. */
  width: number;
  height: number;
  /** Regions that are blacked out before anything sees or keeps them. */
  privacy?: readonly RelativeBox[];
  /** Folder of the segments; without it nothing is recorded. */
  segments?: string;
  /** "off", "auto", or a name that ffmpeg knows, such as vaapi. */
  hardwareDecoding?: string;
  /** Decodes key frames alone, for a stream that is recorded rather than scored. */
  keyFramesOnly?: boolean;
  /** Seconds without a frame after which the connection is given up. */
  silence?: number;
}

/** A frame to score. */
export interface CapturedFrame {
  /** height × width × 3 bytes: B, G, R. */
  data: Uint8Array;
  /** From 0, by the stream's clock: frame n is n / fps seconds after the first one. */
  index: number;
}

/** A piece of the recording. */
export interface Segment {
  path: string;
  /** Seconds of the connection's clock. */
  start: number;
  end: number;
}

/** What a connection gives. */
export interface CaptureListener {
  /** A promise holds up the source until it is kept, which only a file can wait for. */
  onFrame(frame: CapturedFrame): unknown;
  /** A JPEG picture, at most 640 pixels wide, five per second. */
  onPicture?(jpeg: Uint8Array): void;
  /** A segment is complete. */
  onSegment?(segment: Segment): void;
}

/** Seconds of a segment; it ends at the next key frame. */
const SEGMENT = 2;
/** Pictures per second. */
const PICTURES = 5;
const WIDEST_PICTURE = 640;
/** Seconds that a camera may take until its first frame, which waits for a key frame. */
const FIRST_FRAME = 30;
const usualSilence = 20;
/** A picture of more bytes is damaged. */
const LARGEST_PICTURE = 8 * 2 ** 20;

/**
 * Reads a source until it ends, fails or is stopped.
 * @param prefix begins the names of this connection's segments
 * @returns once a file has ended
 * @throws InputError if the source fails or is silent, the signal's reason
 */
export async function capture(
  options: CaptureOptions,
  prefix: string,
  listener: CaptureListener,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const program = await findFfmpeg();
  const { source } = options;
  const input = typeof source === "string" ? await liveInput(source, options) : source;
  if (options.segments) await mkdirs(options.segments);
  const feed = await input.open(signal);
  try {
    // It may have come while the input was opened.
    signal.throwIfAborted();
    await new Connection(program, input, feed, options, prefix).run(listener, signal);
  } finally {
    await feed.close?.();
  }
}

/** A running ffmpeg, and why it was stopped. */
class Connection {
  private readonly process: FfmpegRun;
  private readonly feeding: Promise<unknown>;
  private stopped: Error | undefined;
  private readonly stopAt: (error: Error) => void;

  constructor(
    program: string,
    private readonly input: LiveInput,
    private readonly feed: Feed,
    private readonly options: CaptureOptions,
    prefix: string,
  ) {
    const args = ffmpegArgs(input, feed, options, prefix);
    this.process = startFfmpeg(program, args, { stdin: feed.stdin, outputs: options.segments ? 2 : 1 });
    const { stdin } = this.process.child;
    this.feeding = feed.write && stdin ? feed.write(stdin).catch((error: unknown) => error) : Promise.resolve();
    this.stopAt = (error) => {
      this.stopped ??= error;
      void this.process.stop();
    };
  }

  async run(listener: CaptureListener, signal: AbortSignal): Promise<void> {
    const { process } = this;
    const [pictures, segments] = process.outputs;
    const { silence = usualSilence, width, height, segments: folder } = this.options;
    const { name, ends } = this.input;
    const onAbort = () => this.stopAt(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    // It may have come while ffmpeg was started.
    if (signal.aborted) onAbort();
    const first = new InputError(`${name}: no picture came within ${FIRST_FRAME} s`);
    let watchdog = setTimeout(() => this.stopAt(first), 1000 * FIRST_FRAME);
    let index = 0;
    try {
      readPictures(pictures, (jpeg) => listener.onPicture?.(jpeg));
      if (segments) readSegments(segments, folder!, (segment) => listener.onSegment?.(segment));
      const frames = new Pieces(process.child.stdout, width * height * 3);
      const silent = () => this.stopAt(new InputError(`${name}: no picture came for ${silence} s`));
      for await (const data of frames.whole()) {
        clearTimeout(watchdog);
        const taken = listener.onFrame({ data, index: index++ });
        if (taken instanceof Promise) await taken;
        watchdog = setTimeout(silent, 1000 * silence);
      }
    } catch (error) {
      // A stream that is destroyed may end in another error than what stopped it.
      if (!this.stopped) throw error;
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", onAbort);
      await this.end(index);
    }
    if (index === 0) throw new InputError(`${name} has no picture that can be decoded`);
    if (!ends) throw new InputError(`${name}: the stream ended`);
  }

  /**
   * Waits until ffmpeg is gone. @throws what stopped it, or why it failed
   * @param frames how many came
   */
  private async end(frames: number): Promise<void> {
    const { process } = this;
    const { name } = this.input;
    // Frames have ended, but a camera's other pipes may hang.
    const timer = setTimeout(() => void process.stop(), 5000);
    const end = await process.ended;
    clearTimeout(timer);
    if (this.stopped) throw this.stopped;
    await this.feed.close?.();
    const failure = (await this.feeding) ?? this.feed.failure?.();
    if (failure instanceof Error) throw failure;
    if (end.code === 0) return;
    const reason = ffmpegReason(process.log, end, this.feed.hidden);
    // Its own words name neither the address nor what is wrong with it.
    if (frames === 0 && reason === "Invalid data found when processing input") {
      throw new InputError(`${name} is no video that ffmpeg knows`);
    }
    throw new InputError(`${name}: ${reason}`);
  }
}

/** The filters that black regions out. */
export const privacyFilters = (privacy: readonly RelativeBox[]): string[] =>
  privacy.map((box) => `drawbox=x=iw*${box.x}:y=ih*${box.y}:w=iw*${box.width}:h=ih*${box.height}:color=black:t=fill`);

function ffmpegArgs(input: LiveInput, feed: Feed, options: CaptureOptions, prefix: string): string[] {
  const { fps, width, height, privacy = [], segments, hardwareDecoding = "off", keyFramesOnly = false } = options;
  const boxes = privacyFilters(privacy);
  // With privacy regions the packets of the stream must not be kept; raw frames are too large.
  const copies = segments !== undefined && boxes.length === 0 && !input.isRaw;
  const encodes = segments !== undefined && !copies;
  const filters = [
    `[0:V:0]${[...boxes, `split=${encodes ? 3 : 2}`].join(",")}[f][p]${encodes ? "[s]" : ""}`,
    `[f]fps=${fps},scale=${width}:${height}:flags=area[frames]`,
    `[p]fps=${PICTURES},scale=w='min(${WIDEST_PICTURE},iw)':h=-2[pictures]`,
  ];
  const encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", String(SEGMENT * 25)];
  return [
    ...["-v", "repeat+level+warning", "-max_error_rate", "1"],
    ...(hardwareDecoding === "off" ? [] : ["-hwaccel", hardwareDecoding]),
    // With privacy regions all frames are encoded again.
    ...(keyFramesOnly && boxes.length === 0 ? ["-skip_frame", "nokey"] : []),
    ...[...input.before, ...(feed.live ?? []), ...feed.args],
    ...["-filter_complex", filters.join(";")],
    ...["-map", "[frames]", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"],
    ...["-map", "[pictures]", "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "5", "pipe:3"],
    ...(segments === undefined
      ? []
      : [
          ...(copies ? ["-map", "0:V:0", "-c", "copy"] : ["-map", "[s]", ...encoder]),
          // Matroska takes any codec, and a piece that was cut off can still be read.
          ...["-f", "segment", "-segment_time", String(SEGMENT), "-segment_format", "matroska"],
          // Each begins at 0 and has its exact length, so that joined ones follow one another.
          ...["-reset_timestamps", "1", "-avoid_negative_ts", "disabled"],
          ...["-segment_list", "pipe:4", "-segment_list_type", "csv", "-segment_list_size", "0"],
          `file:${resolve(segments).replaceAll("%", "%%")}${sep}${prefix}-%06d.mkv`,
        ]),
  ];
}

/** Cuts a run of JPEG pictures apart. In their data FF D9 stands for nothing but an end. */
function readPictures(stream: Readable, onPicture: (jpeg: Uint8Array) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    // The end may lie across two chunks.
    let from = Math.max(0, rest.length - 1);
    let bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    for (let end = bytes.indexOf(END_OF_JPEG, from); end >= 0; end = bytes.indexOf(END_OF_JPEG, from)) {
      onPicture(bytes.subarray(0, end + 2));
      bytes = bytes.subarray(end + 2);
      from = 0;
    }
    rest = bytes.length > LARGEST_PICTURE ? Buffer.alloc(0) : bytes;
  });
  stream.on("error", () => {});
}

const END_OF_JPEG = Buffer.from([0xff, 0xd9]);

/** Reads the list that ffmpeg writes: a line of NAME,START,END per segment, once it is complete. */
function readSegments(stream: Readable, folder: string, onSegment: (segment: Segment) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const [, name = "", start = "", end = ""] = /^"?([^",]+)"?,([\d.]+),([\d.]+)/.exec(line) ?? [];
      if (name) onSegment({ path: join(folder, name), start: Number(start), end: Number(end) });
    }
  });
  stream.on("error", () => {});
}
