// Writes a video: raw frames go to ffmpeg, which encodes them.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { InputError } from "../../errors.js";
import { cannotWrite } from "../files/atomic.js";
import { FfmpegLog, ffmpegReason, findFfmpeg } from "./ffmpeg.js";

/** The size and rate of a video to write. */
export interface VideoFormat {
  /** Pixels, both even. */
  width: number;
  height: number;
  fps: number;
  /** Most frames from one key frame to the next; default: the encoder's, 250. */
  keyFrames?: number;
}

/**
 * Checks, before anything is computed, that a video can be written.
 * @throws InputError unless the name ends in .mp4 and its folder exists
 */
export async function checkVideoPath(path: string, option: string): Promise<void> {
  if (!/\.mp4$/i.test(path)) throw new InputError(`${option} ${path}: the name must end in .mp4`);
  if ((await stat(path).catch(() => undefined))?.isDirectory()) throw cannotWrite(path, new Error("it is a folder"));
  const folder = dirname(resolve(path));
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw cannotWrite(path, new Error(`there is no folder ${folder}`));
  }
}

/**
 * An MP4 file (H.264) that appears whole or not at all: it is written under a temporary name, then
 * renamed. Memory holds no more than a few frames.
 */
export class VideoWriter {
  private ended = false;
  private failed?: Error;

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly child: ChildProcessByStdio<Writable, null, Readable>,
    private readonly log: FfmpegLog,
    private readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null; startError?: Error }>,
  ) {
    // A broken pipe: ffmpeg's exit says why.
    child.stdin.on("error", (error) => {
      this.failed = error;
    });
  }

  /** @throws InputError if there is no ffmpeg */
  static async create(path: string, { width, height, fps, keyFrames = 250 }: VideoFormat): Promise<VideoWriter> {
    const program = await findFfmpeg();
    const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
    const child = spawn(
      program,
      [
        ...["-v", "repeat+level+error", "-y"],
        ...[
          "-f",
          "rawvideo",
          "-pix_fmt",
          "bgr24",
          "-s",
          `${width}x${height}`,
          "-framerate",
          String(fps),
          "-i",
          "pipe:0",
        ],
        ...[
          "-an",
          "-c:v",
          "libx264",
          "-preset",
          "veryfast",
          "-crf",
          "21",
          "-pix_fmt",
          "yuv420p",
          "-g",
          String(keyFrames),
        ],
        ...["-movflags", "+faststart", "-f", "mp4", `file:${resolve(temporary)}`],
      ],
      {
        stdio: ["pipe", "ignore", "pipe"],
        windowsHide: true,
        // Ctrl-C in a terminal reaches the whole group; this process decides when ffmpeg stops.
        detached: process.platform !== "win32",
        env: { ...process.env, FFREPORT: undefined, AV_LOG_FORCE_NOCOLOR: "1" },
      },
    );
    const log = new FfmpegLog();
    child.stderr.setEncoding("utf8").on("data", (text: string) => log.push(text));
    const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null; startError?: Error }>((done) => {
      child.on("error", (startError) => {
        if (child.pid === undefined) done({ code: null, signal: null, startError });
      });
      child.once("close", (code, signal) => {
        log.end();
        done({ code, signal });
      });
    });
    return new VideoWriter(path, temporary, child, log, exit);
  }

  /**
   * Appends a frame, and waits until ffmpeg takes more. The buffer may be used again afterwards.
   * @param bgr [height, width, 3], B, G, R
   * @throws InputError with ffmpeg's reason if it has ended
   */
  async write(bgr: Uint8Array): Promise<void> {
    await new Promise<void>((done) => {
      // Called with an error too, which `failed` keeps.
      this.child.stdin.write(bgr, () => done());
    });
    if (this.failed) await this.fail();
  }

  /** Ends the video and gives it its name. @throws InputError with ffmpeg's reason */
  async commit(): Promise<void> {
    this.child.stdin.end();
    const end = await this.exit;
    if (end.code !== 0) await this.fail();
    try {
      await rename(this.temporary, this.path);
      this.ended = true;
    } catch (error) {
      await this.discard();
      throw cannotWrite(this.path, error);
    }
  }

  /** Stops ffmpeg and removes what was written, unless it was committed. */
  async discard(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.child.stdin.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.exit;
    await rm(this.temporary, { force: true }).catch(() => undefined);
  }

  private async fail(): Promise<never> {
    const end = await this.exit;
    await this.discard();
    throw cannotWrite(this.path, new Error(ffmpegReason(this.log, end, resolve(this.temporary))));
  }
}
