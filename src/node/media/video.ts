import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { checkFrameSize, type Frame, type FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type FfmpegLog, ffmpegReason, findFfmpeg, startFfmpeg } from "./ffmpeg.js";

export interface VideoOptions {
  /** The ffmpeg to run; default findFfmpeg(). */
  ffmpeg?: string;
}

/** What one look at a video's start tells. */
interface Probe {
  width: number;
  height: number;
  fps?: number;
  durationSeconds?: number;
  /** ffmpeg 5.1 and later call the option -fps_mode, and are to lose the old one, -vsync. */
  passthrough: readonly string[];
}

/** Fewer frames than this part of what the header promises are worth mentioning in a warning. */
const COMPLETE = 0.9;

/**
 * A video file as a source of frames, by ffmpeg, one frame at a time: every coded frame comes out once and in order (no frame
 * is doubled or dropped to keep a rate), turned upright as its metadata says, the pixel's aspect ratio ignored, converted to
 * BGR with ffmpeg's default (bicubic chroma): the frames that OpenCV's VideoCapture gives. A frame's time is index / fps,
 * which is exact for a constant frame rate only.
 *
 * A damaged video gives the frames that ffmpeg can decode; what it complains about is counted in `warnings`, renewed with
 * each pass. (OpenCV stops at the first frame that it cannot decode.)
 * @throws InputError naming the file and ffmpeg's reason: no such file, not a video, no video stream, no decodable frame;
 * while iterating, if ffmpeg ends with an error. Where there is no ffmpeg, the message says what to install.
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
  const frameBytes = width * height * 3;
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
      let data = new Uint8Array(frameBytes);
      let filled = 0;
      for await (const chunk of run.child.stdout as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length; ) {
          const part = Math.min(frameBytes - filled, chunk.length - at);
          data.set(chunk.subarray(at, at + part), filled);
          filled += part;
          at += part;
          if (filled < frameBytes) continue;
          signal?.throwIfAborted();
          yield { data, width, height, index, number: index, ...(fps ? { time: index / fps } : {}) };
          index++;
          data = new Uint8Array(frameBytes);
          filled = 0;
        }
      }
      const end = await run.ended;
      signal?.throwIfAborted();
      if (end.code !== 0) {
        throw new InputError(`${shown} cannot be decoded beyond frame ${index}: ${ffmpegReason(run.log, end, file)}`);
      }
      if (index === 0) {
        throw new InputError(`${shown} has no frame that can be decoded: ${ffmpegReason(run.log, end, file)}`);
      }
      if (filled > 0) throw new InputError(`${shown}: its last frame, ${index}, is cut off`);
      const { errorCount } = run.log;
      if (errorCount > 0) {
        // Without an error fewer frames prove nothing: at a variable rate, or under a longer sound track, that is normal.
        const few = promised !== undefined && index < promised * COMPLETE;
        found.push(
          `${shown}: ffmpeg reported ${errorCount} error${errorCount > 1 ? "s" : ""} while decoding, frames may be ` +
            `missing or damaged${few ? `, ${index} could be read of about ${promised}` : ""} ` +
            `(${ffmpegReason(run.log, end, file)})`,
        );
      }
    } catch (error) {
      // Killing ffmpeg may end the stream with an error of its own.
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

/**
 * The options that name the input and its first video stream (V: no cover pictures). An absolute path behind "file:" is
 * never taken for an option, a pattern's protocol or a URL; and a playlist cannot make ffmpeg reach for the network.
 */
function input(file: string): string[] {
  return ["-protocol_whitelist", "file,pipe", "-i", `file:${file}`, "-map", "0:V:0"];
}

/**
 * Decodes the first frame as PPM, whose header tells the size of what really comes out (after rotation); the rest is read
 * off the log. (There is no ffprobe beside npm's ffmpeg.)
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
  // ffmpeg would paint a text file as a terminal does.
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

/** The rate of the stream that was decoded; ffmpeg prints two decimals, so NTSC's rates are made exact again. */
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

function duration(log: FfmpegLog): number | undefined {
  for (const line of log.lines) {
    const match = /^\s+Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(line);
    if (match) return Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]);
  }
  return undefined;
}

/** By the version of libavutil in the banner, which builds from git print too: 57.28 is FFmpeg 5.1. */
function hasFpsMode(log: FfmpegLog): boolean {
  for (const line of log.lines) {
    const match = /^\s*libavutil\s+(\d+)\.\s*(\d+)\./.exec(line);
    if (match) return Number(match[1]) > 57 || (match[1] === "57" && Number(match[2]) >= 28);
  }
  return false;
}
