// Frames decoded by ffmpeg, from whatever it can be given: a file, a pipe, a camera.

import type { Readable, Writable } from "node:stream";
import { counted } from "../../counted.js";
import { checkFrameSize, type Frame, type FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type FfmpegEnd, type FfmpegRun, ffmpegReason, libavutilVersion, startFfmpeg } from "./ffmpeg.js";
import { FRAME_LOG, type LoggedFrame, PACKET_LOG, VideoLog } from "./video_log.js";

/** What ffmpeg reads in one run. */
export interface Feed {
  /** ffmpeg's arguments up to and with "-i …". They must name the protocols that may be used. */
  args: readonly string[];
  /** Whether ffmpeg reads a pipe. */
  stdin?: "pipe";
  /** Options before these for somebody who watches the input live. */
  live?: readonly string[];
  /** Cut out of ffmpeg's messages. */
  hidden: string;
  /** Writes the input into ffmpeg's standard input (stdin: "pipe"); ends it at the end. */
  write?(stdin: Writable): Promise<void>;
  /** What is remarkable about what came; asked for at the end. */
  warnings?(): string[];
  /** What made the feed fail, if ffmpeg's own reason would not say it. */
  failure?(): Error | undefined;
  /** Releases what the feed holds. */
  close?(): Promise<void>;
}

/**
 * Arguments for bytes that come through a pipe. The whitelist keeps whatever they hold, such as a
 * playlist, from making ffmpeg open files or connections.
 */
export const PIPE_INPUT: Pick<Feed, "args" | "stdin" | "hidden"> = {
  args: ["-protocol_whitelist", "pipe", "-i", "pipe:0"],
  stdin: "pipe",
  hidden: "pipe:0",
};

/** An input that ffmpeg decodes. */
export interface DecodedInput {
  /** In messages. */
  name: string;
  /** Whether it can be read a single time, such as the standard input. */
  once?: boolean;
  /** What is remarkable about the input itself; a line each. */
  warnings?: readonly string[];
  open(signal?: AbortSignal): Promise<Feed>;
}

/** What an input is that ffmpeg started to read and in which it found no video. */
export class NotAVideoError extends InputError {}

/**
 * A warning gives the number of frames if fewer than this part of what the header promises were
 * read.
 */
const COMPLETE = 0.9;

/**
 * Opens an input as a source of frames; see openVideo for what they are.
 * @param program ffmpeg's path
 * @param opening ends the opening
 * @throws InputError if it has no video or no frame that can be decoded; the signal's reason
 */
export async function openDecoded(program: string, input: DecodedInput, opening?: AbortSignal): Promise<FrameSource> {
  const shown = oneLine(input.name);
  // 1. The first frame. What can be read only once goes on from there, anything else starts again.
  const { first, facts } = await openFirst(program, input, opening);
  const { width, height, fps, promised, missing } = facts;
  let held: Decoding | undefined = input.once ? first : undefined;
  let warnings: string[] = [...(input.warnings ?? [])];
  held?.idle();

  // 2. All of them, in a run of ffmpeg of each pass.
  async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    signal?.throwIfAborted();
    if (input.once && !held) throw new InputError(`${shown} can be read only once`);
    const decoding = held ?? (await Decoding.start(program, input, passthrough(facts.version), signal));
    held = undefined;
    const found = [...(input.warnings ?? [])];
    warnings = found;
    const clock = new FrameClock(decoding.log, fps);
    const onAbort = (): void => void decoding.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    let index = 0;
    try {
      const pieces = new Pieces(decoding.run.child.stdout, width * height * 3);
      decoding.resume();
      for await (const data of pieces.whole()) {
        signal?.throwIfAborted();
        const logged = await decoding.nextFrame();
        if (index === 0 && missing > 0) decoding.run.log.clearErrors();
        const time = clock.next(index, logged);
        yield { data, width, height, index, number: index, ...(time === undefined ? {} : { time }) };
        index++;
      }
      const end = await decoding.run.ended;
      signal?.throwIfAborted();
      await decoding.checkFeed();
      const { log } = decoding.run;
      if (end.code !== 0) {
        throw new InputError(`${shown} cannot be decoded beyond frame ${index}: ${decoding.reason(end)}`);
      }
      if (index === 0) throw new InputError(`${shown} has no frame that can be decoded: ${decoding.reason(end)}`);
      if (pieces.rest > 0) throw new InputError(`${shown} is cut off in its last frame, ${index}`);
      if (missing > 0) found.push(startWarning(shown, missing, fps));
      found.push(...decoding.feedWarnings, ...clock.warnings(shown));
      if (log.errorCount > 0) found.push(damageWarning(shown, log.errorCount, index, promised, decoding.reason(end)));
    } catch (error) {
      // After an abort, ffmpeg's stream may end with another error.
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await decoding.stop();
    }
  }

  return {
    name: input.name,
    width,
    height,
    ...(fps === undefined ? {} : { fps }),
    ...(promised === undefined ? {} : { estimatedFrameCount: promised }),
    get warnings() {
      return warnings;
    },
    ...(input.once && {
      close: async () => {
        await held?.stop();
        held = undefined;
      },
    }),
    frames,
  };
}

/** Reads the first frame. @returns the run of ffmpeg too, which goes on if there can be no other */
async function openFirst(
  program: string,
  input: DecodedInput,
  signal: AbortSignal | undefined,
): Promise<{ first: Decoding; facts: Facts }> {
  let first: Decoding | undefined;
  const stop = (): void => void first?.stop();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    const how = input.once ? passthrough(await versionOf(program)) : "first frame";
    first = await Decoding.start(program, input, how, signal);
    signal?.throwIfAborted();
    const facts = await first.facts();
    signal?.throwIfAborted();
    if (!input.once) await first.stop();
    return { first, facts };
  } catch (error) {
    await first?.stop();
    // After an abort, ffmpeg or the connection may end with another error.
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** What is known of a video once its first frame is. */
interface Facts {
  width: number;
  height: number;
  fps?: number;
  /** How many frames there are by the container's header. */
  promised?: number;
  version: VideoLog["version"];
  /**
   * Seconds of pictures before the first one that can be decoded: a recording may begin between two
   * key frames. 0 if there are none, or it is not known.
   */
  missing: number;
}

/** The first frame's size is in the log, so the frame itself need not be written. */
const FIRST_FRAME = ["-frames:v", "1", "-f", "null", "-"];
const ALL_FRAMES = ["-sws_flags", "bicubic", "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"];

/** The options for "every coded frame once": -fps_mode since FFmpeg 5.1 (57.28), -vsync before. */
function passthrough(version: VideoLog["version"]): string[] {
  const [major, minor] = version ?? [0, 0];
  return [major > 57 || (major === 57 && minor >= 28) ? "-fps_mode" : "-vsync", "passthrough"];
}

async function versionOf(program: string): Promise<VideoLog["version"]> {
  const { child, ended } = startFfmpeg(program, ["-version"]);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (text.length < 1e4) text += chunk.toString("latin1");
  });
  await ended;
  return text.split("\n").map(libavutilVersion).find(Boolean);
}

/** How long a frame's line in the log is waited for, in ms. It is written before its bytes. */
const LATE_LINE = 5000;

/** A run of ffmpeg, and what its log has said. */
class Decoding {
  readonly log: VideoLog;
  readonly run: FfmpegRun;
  private readonly frames: LoggedFrame[] = [];
  private first: LoggedFrame | undefined;
  private announce: () => void = () => {};
  private ended: FfmpegEnd | undefined;
  /** Whether the log has failed to name a frame: then no other is waited for. */
  private isSilent = false;
  private readonly feeding: Promise<unknown>;

  /** @param how which frames: the first one only, or all with the options of {@link passthrough} */
  static async start(
    program: string,
    input: DecodedInput,
    how: "first frame" | readonly string[],
    signal?: AbortSignal,
  ): Promise<Decoding> {
    return new Decoding(program, oneLine(input.name), await input.open(signal), how);
  }

  private constructor(
    private readonly program: string,
    private readonly shown: string,
    private readonly feed: Feed,
    how: "first frame" | readonly string[],
  ) {
    this.log = new VideoLog((frame) => {
      this.first ??= frame;
      this.frames.push(frame);
      this.announce();
    });
    const isFirst = how === "first frame";
    const args = [
      // By default ffmpeg fails if it could decode less than a third.
      ...["-v", "repeat+level+info", "-max_error_rate", "1", "-copyts"],
      ...[...(isFirst ? [PACKET_LOG] : []), ...feed.args],
      // V: not a cover picture.
      ...["-map", "0:V:0", "-vf", FRAME_LOG],
      ...(isFirst ? FIRST_FRAME : [...how, ...ALL_FRAMES]),
    ];
    this.run = startFfmpeg(program, args, { stdin: feed.stdin, onLine: (line) => this.log.add(line) });
    const { stdin, stdout } = this.run.child;
    // Without a listener Node throws away what nobody has read when the process ends.
    stdout.on("readable", () => {});
    this.feeding = feed.write && stdin ? feed.write(stdin).catch((error: unknown) => error) : Promise.resolve();
    void this.run.ended.then((end) => {
      this.ended = end;
      this.announce();
    });
  }

  /** @throws InputError if there is no first frame */
  async facts(): Promise<Facts> {
    while (!this.first && !this.ended) await this.change();
    if (!this.first) {
      await this.stop();
      await this.checkFeed();
      throw this.unreadable(this.ended!);
    }
    // ffmpeg decodes a text file as a picture of a terminal.
    if (TEXT_FORMATS.test(this.log.format ?? "")) {
      await this.stop();
      throw this.unreadable(this.ended!);
    }
    const { width, height } = this.first;
    try {
      checkFrameSize(this.shown, width, height);
    } catch (error) {
      await this.stop();
      throw error;
    }
    const { frameRate: fps, frameCount: promised, version } = this.log;
    return {
      ...{ width, height, version },
      ...(fps ? { fps } : {}),
      ...(promised ? { promised } : {}),
      missing: this.missingStart,
    };
  }

  private get missingStart(): number {
    const { firstPacket } = this.log;
    const ticks = this.first?.ticks;
    // Pictures that are left out on purpose, as by an edit list, are no error.
    if (ticks === undefined || firstPacket === undefined || this.run.log.errorCount === 0) return 0;
    return Math.max(0, this.log.seconds(ticks - firstPacket));
  }

  private unreadable(end: FfmpegEnd): InputError {
    const { shown } = this;
    const { format, hasVideo } = this.log;
    if (end.startError) return new InputError(`${shown}: ${this.reason(end)} (${oneLine(this.program)})`);
    if (format && TEXT_FORMATS.test(format)) return new NotAVideoError(`${shown} is text, not a video`);
    const isVideo = hasVideo && !this.run.log.errors.some((error) => error.includes("matches no streams"));
    if (format && !isVideo) return new NotAVideoError(`${shown} has no video stream`);
    if (!format) return new NotAVideoError(`${shown} is not a video that ffmpeg can read: ${this.reason(end)}`);
    return new NotAVideoError(`${shown} has no frame that can be decoded: ${this.reason(end)}`);
  }

  reason(end: FfmpegEnd): string {
    return ffmpegReason(this.run.log, end, this.feed.hidden);
  }

  /** What the log says of the next frame; undefined if it says nothing. */
  async nextFrame(): Promise<LoggedFrame | undefined> {
    if (this.frames.length === 0 && !this.ended && !this.isSilent) {
      const timer = setTimeout(() => {
        this.isSilent = true;
        this.announce();
      }, LATE_LINE);
      while (this.frames.length === 0 && !this.ended && !this.isSilent) await this.change();
      clearTimeout(timer);
    }
    return this.frames.shift();
  }

  get feedWarnings(): string[] {
    return this.feed.warnings?.() ?? [];
  }

  /** @throws what ended the feed early */
  async checkFeed(): Promise<void> {
    const error = (await this.feeding) ?? this.feed.failure?.();
    if (error instanceof Error) throw error;
  }

  /** Lets the process end while nobody reads. */
  idle(): void {
    for (const handle of this.handles()) handle.unref?.();
  }

  resume(): void {
    for (const handle of this.handles()) handle.ref?.();
  }

  private handles(): { ref?(): void; unref?(): void }[] {
    const { child } = this.run;
    return [child, child.stdin, child.stdout, child.stderr].filter(Boolean) as { ref?(): void; unref?(): void }[];
  }

  async stop(): Promise<void> {
    await this.run.stop();
    await this.feed.close?.();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.announce = resolve;
    });
  }
}

const TEXT_FORMATS = /^(tty|bin|xbin|idf|adf)$/;

/** The times of frames, and what is odd about them and their sizes. */
class FrameClock {
  private first: number | undefined;
  private last: number | undefined;
  /** Added to times after the stream's clock was set back. */
  private offset = 0;
  private size = "";
  private resized: { frame: number; from: string; to: string } | undefined;
  private resizes = 0;
  /** The frame at which the clock was set back first, and how often it was. */
  private jump: number | undefined;
  private jumps = 0;

  constructor(
    private readonly log: VideoLog,
    private readonly fps: number | undefined,
  ) {}

  /** Seconds since the first frame. They never fall. */
  next(frame: number, logged: LoggedFrame | undefined): number | undefined {
    if (logged) this.noteSize(frame, logged);
    const { last } = this;
    const step = this.fps ? 1 / this.fps : 0;
    let time: number | undefined;
    if (logged?.ticks !== undefined) {
      this.first ??= logged.ticks;
      time = this.log.seconds(logged.ticks - this.first) + this.offset;
      if (frame === 1 && time < 0) {
        // By RTSP ffmpeg does not know the first picture's time stamp, and takes a later one's.
        this.offset = step - time;
        time = step;
      }
      if (last !== undefined && last - time > Math.max(JUMP, 2 * step)) {
        this.jumps++;
        this.jump ??= frame;
        this.offset += last + step - time;
        time = last + step;
      }
    } else if (this.fps) time = last === undefined ? 0 : last + step;
    if (time === undefined) return undefined;
    this.last = Math.max(time, last ?? 0);
    return this.last;
  }

  private noteSize(frame: number, { width, height }: LoggedFrame): void {
    const to = `${width}×${height}`;
    if (this.size !== "" && this.size !== to) {
      this.resizes++;
      this.resized ??= { frame, from: this.size, to };
    }
    this.size = to;
  }

  warnings(shown: string): string[] {
    const lines: string[] = [];
    if (this.resized) {
      const { frame, from, to } = this.resized;
      const more = this.resizes > 1 ? ` (the first of ${this.resizes} changes)` : "";
      lines.push(
        `${shown}: the pictures change from ${from} to ${to} pixels at frame ${frame}${more}; all are scaled to the first one's size`,
      );
    }
    if (this.jump !== undefined) {
      const more = this.jumps > 1 ? ` (the first of ${this.jumps} times)` : "";
      lines.push(
        `${shown}: the time stamps run back at frame ${this.jump}${more}, as if another recording was joined on; ` +
          "from there on, times continue without a gap",
      );
    }
    return lines;
  }
}

/** Seconds that a time stamp may fall behind the one before without being another recording's. */
const JUMP = 0.1;

/** A stream cut into pieces of one size. */
export class Pieces {
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

function startWarning(shown: string, missing: number, fps: number | undefined): string {
  const count = fps ? ` (about ${Math.round(missing * fps)} frames)` : "";
  return (
    `${shown} begins between two key frames: its first ${Number(missing.toFixed(2))} s${count} cannot be decoded ` +
    "and are missing; frame 0 is the first picture that can be decoded"
  );
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
    `${shown}: ffmpeg reported ${counted(errors, "error")} while decoding; ` +
    `frames may be missing or damaged${count}: ${reason}`
  );
}
