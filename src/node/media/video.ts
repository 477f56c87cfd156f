// A video file as a source of frames, decoded by ffmpeg.
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { checkFrameSize, type Frame, type FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type FfmpegEnd, type FfmpegLog, ffmpegReason, findFfmpeg, startFfmpeg } from "./ffmpeg.js";

/** How a video file is read. */
export interface VideoOptions {
  /** The path of ffmpeg; default: of {@link findFfmpeg}. */
  ffmpeg?: string;
}

/**
 * A warning gives the number of frames if fewer than this part of what the header promises were
 * read.
 */
const COMPLETE = 0.9;

/**
 * Opens a video file. Every coded frame comes once and in order: none is doubled or dropped to keep
 * a rate. Frames are turned upright as the metadata says; the pixels' aspect ratio is ignored;
 * colours are converted to B, G, R with ffmpeg's default (bicubic chroma). These are the frames
 * that OpenCV's VideoCapture gives. A frame's time is index / fps in seconds, which is exact for a
 * constant rate only.
 *
 * Of a damaged video come the frames that ffmpeg can decode; `warnings` of the source, new with
 * each pass, counts its complaints. (OpenCV stops at the first frame that it cannot decode.)
 * @throws InputError with the file's name and ffmpeg's reason, if the file cannot be read, is not a
 * video, or has no video stream or no frame that can be decoded; while iterating, if ffmpeg ends
 * with an error. Without ffmpeg the message says what to install.
 */
export async function openVideo(path: string, options: VideoOptions = {}): Promise<FrameSource> {
  const shown = oneLine(path);
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size === 0) throw new Error("it is empty");
  } catch (error) {
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}`);
  }
  const program = options.ffmpeg ?? (await findFfmpeg());
  const file = resolve(path);
  const { width, height, fps, durationSeconds, passthrough } = await probe(program, file, shown);
  checkFrameSize(shown, width, height);
  const promised = fps && durationSeconds ? Math.round(fps * durationSeconds) : undefined;
  let warnings: string[] = [];

  async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    signal?.throwIfAborted();
    const found: string[] = [];
    warnings = found;
    const run = startFfmpeg(program, [
      ...["-v", "repeat+level+error"],
      ...input(file),
      ...passthrough,
      ...["-sws_flags", "bicubic", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"],
    ]);
    const onAbort = (): void => void run.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    let index = 0;
    try {
      const pieces = new Pieces(run.child.stdout, width * height * 3);
      for await (const data of pieces.whole()) {
        signal?.throwIfAborted();
        yield { data, width, height, index, number: index, ...(fps ? { time: index / fps } : {}) };
        index++;
      }
      const end = await run.ended;
      signal?.throwIfAborted();
      checkEnd(shown, index, end, () => ffmpegReason(run.log, end, file));
      if (pieces.rest > 0) throw new InputError(`${shown} is cut off in its last frame, ${index}`);
      if (run.log.errorCount > 0) {
        found.push(damageWarning(shown, run.log.errorCount, index, promised, ffmpegReason(run.log, end, file)));
      }
    } catch (error) {
      // After an abort, ffmpeg's stream may end with another error.
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await run.stop();
    }
  }

  return {
    name: path,
    width,
    height,
    ...(fps === undefined ? {} : { fps }),
    ...(promised === undefined ? {} : { estimatedFrameCount: promised }),
    get warnings() {
      return warnings;
    },
    frames,
  };
}

/** A stream cut into pieces of one size. */
class Pieces {
  /** Bytes at the stream's end that are less than a piece. */
  rest = 0;

  /** @param bytes of a piece */
  constructor(
    private readonly stream: Readable,
    private readonly bytes: number,
  ) {}

  async *whole(): AsyncGenerator<Uint8Array> {
    let piece = new Uint8Array(this.bytes);
    for await (const chunk of this.stream as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        const part = Math.min(this.bytes - this.rest, chunk.length - at);
        piece.set(chunk.subarray(at, at + part), this.rest);
        this.rest += part;
        at += part;
        if (this.rest < this.bytes) continue;
        yield piece;
        piece = new Uint8Array(this.bytes);
        this.rest = 0;
      }
    }
  }
}

/** @throws InputError if ffmpeg failed or gave no frame */
function checkEnd(shown: string, frames: number, { code }: FfmpegEnd, reason: () => string): void {
  if (code !== 0) throw new InputError(`${shown} cannot be decoded beyond frame ${frames}: ${reason()}`);
  if (frames === 0) throw new InputError(`${shown} has no frame that can be decoded: ${reason()}`);
}

/**
 * The warning after a pass with errors. Without an error, fewer frames than promised prove nothing:
 * that is normal at a variable rate, or if the sound is longer.
 */
function damageWarning(
  shown: string,
  errors: number,
  frames: number,
  promised: number | undefined,
  reason: string,
): string {
  const few = promised !== undefined && frames < promised * COMPLETE;
  const count = few ? ` (${frames} of about ${promised} were read)` : "";
  return (
    `${shown}: ffmpeg reported ${errors} error${errors > 1 ? "s" : ""} while decoding; ` +
    `frames may be missing or damaged${count}: ${reason}`
  );
}

/**
 * The options that name the input and its first video stream (V: not a cover picture). An absolute
 * path behind "file:" is never taken for an option, a pattern or a URL. The whitelist keeps a
 * playlist from making ffmpeg open a network connection.
 */
function input(file: string): string[] {
  return ["-protocol_whitelist", "file,pipe", "-i", `file:${file}`, "-map", "0:V:0"];
}

/** What is known of a video before its frames are read. */
interface Probe {
  width: number;
  height: number;
  fps?: number;
  durationSeconds?: number;
  /** The options for "every coded frame once": -fps_mode since ffmpeg 5.1, -vsync before. */
  passthrough: readonly string[];
}

/**
 * Decodes the first frame as PPM, whose header has the size after rotation. The rest is parsed from
 * the log, since npm's ffmpeg comes without ffprobe.
 * @throws InputError that says why it is not a video
 */
async function probe(program: string, file: string, shown: string): Promise<Probe> {
  const run = startFfmpeg(program, [
    ...["-v", "repeat+level+info"],
    ...input(file),
    ...["-frames:v", "1", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"],
  ]);
  let header = "";
  run.child.stdout.on("data", (chunk: Buffer) => {
    if (header.length < 64) header += chunk.toString("latin1", 0, 64);
  });
  const end = await run.ended;
  const size = /^P6\s+(\d+)\s+(\d+)\s/.exec(header);
  const { log } = run;
  const format = log.lines.map((line) => /^Input #0, ([^']*), from /.exec(line)?.[1]).find((name) => name);
  const hasVideo =
    log.lines.some((line) => /^\s+Stream #0:\d+.*?: Video: /.test(line)) &&
    !log.errors.some((error) => error.includes("matches no streams"));
  if (end.startError) throw new InputError(`${shown}: ${ffmpegReason(log, end, file)} (${oneLine(program)})`);
  // ffmpeg decodes a text file as a picture of a terminal.
  if (format && TEXT_FORMATS.test(format)) throw new InputError(`${shown} is text, not a video`);
  if (format && !hasVideo) throw new InputError(`${shown} has no video stream`);
  if (!format) throw new InputError(`${shown} is not a video that ffmpeg can read: ${ffmpegReason(log, end, file)}`);
  if (!size) throw new InputError(`${shown} has no frame that can be decoded: ${ffmpegReason(log, end, file)}`);
  const [fps, durationSeconds] = [frameRate(log), duration(log)];
  return {
    width: Number(size[1]),
    height: Number(size[2]),
    ...(fps ? { fps } : {}),
    ...(durationSeconds ? { durationSeconds } : {}),
    passthrough: [hasFpsMode(log) ? "-fps_mode" : "-vsync", "passthrough"],
  };
}

const TEXT_FORMATS = /^(tty|bin|xbin|idf|adf)$/;

/**
 * Frames per second of the decoded stream. ffmpeg prints two decimals, so NTSC's rates (n ·
 * 1000/1001) are made exact again.
 */
function frameRate(log: FfmpegLog): number | undefined {
  const mapping = log.lines.map((line) => /^\s*Stream #0:(\d+) -> #0:0/.exec(line)?.[1]).find((id) => id);
  const stream = log.lines.find(
    (line) => /^\s+Stream #0:\d+.*?: Video: /.test(line) && (!mapping || line.includes(`Stream #0:${mapping}`)),
  );
  const printed = /, ([\d.]+)(k?) fps\b/.exec(stream ?? "") ?? /, ([\d.]+)(k?) tbr\b/.exec(stream ?? "");
  if (!printed) return undefined;
  const rate = Number(printed[1]) * (printed[2] ? 1000 : 1);
  if (!(rate > 0)) return undefined;
  const ntsc = (Math.ceil(rate) * 1000) / 1001;
  return Math.abs(rate - ntsc) < 0.006 && rate % 1 !== 0 ? ntsc : rate;
}

/** In seconds. */
function duration(log: FfmpegLog): number | undefined {
  for (const line of log.lines) {
    const match = /^\s+Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(line);
    if (match) return Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]);
  }
  return undefined;
}

/** By libavutil's version in the banner, which builds from git print too: 57.28 is FFmpeg 5.1. */
function hasFpsMode(log: FfmpegLog): boolean {
  for (const line of log.lines) {
    const match = /^\s*libavutil\s+(\d+)\.\s*(\d+)\./.exec(line);
    if (match) return Number(match[1]) > 57 || (match[1] === "57" && Number(match[2]) >= 28);
  }
  return false;
}
