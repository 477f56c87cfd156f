// The ffmpeg program: finds it, runs it, and says in a line why it failed.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access, chmod, copyFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { InputError } from "../../errors.js";
import { mkdirs } from "../files/atomic.js";
import { oneLine, reasonOf } from "../files/messages.js";

/** Where {@link findFfmpeg} looks. */
export interface FfmpegLookup {
  /** SDMAE_FFMPEG, PATH and the cache folder are read from it; default process.env. */
  env?: Record<string, string | undefined>;
  /**
   * Gives the path of npm's binary, undefined if there is none; default: of
   * @ffmpeg-installer/ffmpeg.
   */
  npmBinary?: () => Promise<string | undefined>;
}

/**
 * The path of an ffmpeg that can be run: SDMAE_FFMPEG if set, else the first on the PATH, else
 * npm's
 * @ffmpeg-installer/ffmpeg.
 * @throws InputError if there is none (it says what to install), or if SDMAE_FFMPEG is not a
 * program
 */
export async function findFfmpeg({ env = process.env, npmBinary = npmFfmpeg }: FfmpegLookup = {}): Promise<string> {
  const named = env.SDMAE_FFMPEG;
  if (named) {
    if (await isProgram(named)) return named;
    throw new InputError(`SDMAE_FFMPEG is ${oneLine(named)}, which is not an executable program`);
  }
  const program = process.platform === "win32" ? "ffmpeg.exe" : "ffmpeg";
  // On Windows the variable may be spelt "Path". process.env takes either, a copy of it does not.
  for (const folder of (env.PATH ?? env.Path ?? "").split(delimiter)) {
    // A relative entry could run a program of the current folder.
    if (isAbsolute(folder) && (await isProgram(join(folder, program)))) return join(folder, program);
  }
  const binary = await npmBinary();
  const usable = binary === undefined ? undefined : await makeRunnable(binary, env);
  if (usable !== undefined) return usable;
  throw new InputError(
    "reading or writing video needs ffmpeg, and none was found: install it (apt install ffmpeg, brew install ffmpeg, " +
      "winget install ffmpeg, or npm install @ffmpeg-installer/ffmpeg), or set SDMAE_FFMPEG to its path",
  );
}

async function npmFfmpeg(): Promise<string | undefined> {
  try {
    // Throws a string if the package for this platform is not installed.
    const { default: installer } = await import("@ffmpeg-installer/ffmpeg");
    return installer.path;
  } catch {
    return undefined;
  }
}

/**
 * Package managers that block install scripts leave npm's binary without its executable bit. This
 * sets the bit, or copies the binary into the cache folder if its mode cannot be changed.
 * @returns the path of a program that runs; undefined if there is none
 */
async function makeRunnable(binary: string, env: Record<string, string | undefined>): Promise<string | undefined> {
  const original = await stat(binary).catch(() => undefined);
  if (!original?.isFile()) return undefined;
  if (await isProgram(binary)) return binary;
  await chmod(binary, 0o755).catch(() => {});
  if (await isProgram(binary)) return binary;
  const cache = join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "sdmae");
  // Size and date stand for the version, so that an update is copied again.
  const copy = join(cache, `ffmpeg-${original.size}-${Math.trunc(original.mtimeMs)}`);
  if (await isProgram(copy)) return copy;
  const unfinished = `${copy}.${process.pid}`;
  try {
    await mkdirs(cache);
    await copyFile(binary, unfinished);
    await chmod(unfinished, 0o755);
    await rename(unfinished, copy);
    return copy;
  } catch {
    await rm(unfinished, { force: true }).catch(() => {});
    return undefined;
  }
}

async function isProgram(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** How a run of ffmpeg ended. */
export interface FfmpegEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Set if it could not be started at all. */
  startError?: Error;
}

/** A running ffmpeg. */
export interface FfmpegRun {
  child: ChildProcessByStdio<Writable | null, Readable, Readable>;
  /** Its further pipes, from "pipe:3" on. */
  outputs: readonly Readable[];
  log: FfmpegLog;
  /** Settles when the process is gone and its pipes are closed; never rejects. */
  ended: Promise<FfmpegEnd>;
  /** Kills the process if it still runs and waits until it is gone. */
  stop(): Promise<void>;
}

const LONGEST_LINE = 4000;
const MOST_ERRORS = 50;

/** A line of ffmpeg's log (run with "-v repeat+level+…"). */
export interface FfmpegLine {
  /** Who says it: "[h264 @ 0x1] ", or "" for the program itself. */
  sender: string;
  /** Such as "error"; undefined if the line continues another one. */
  level: string | undefined;
  text: string;
}

/**
 * What a muxer says of time stamps that repeat or run backwards. Raw frames have none, so nothing
 * is lost by it, and a decoder never says it.
 */
const MUXER_TIMING = /increasing dts to muxer|pts \(.*\) < dts \(.*\) in stream|Timestamps are unset in a packet/;

/** What ffmpeg prints on stderr. Of a log of any length only errors are kept, and few of them. */
export class FfmpegLog {
  /** Messages of level error or worse, without the level and the sender; the first few. */
  readonly errors: string[] = [];
  errorCount = 0;
  private partial = "";

  /** @param onLine receives every line */
  constructor(private readonly onLine: (line: FfmpegLine) => void = () => {}) {}

  push(text: string): void {
    const parts = (this.partial + text).split(/[\r\n]+/);
    this.partial = parts.pop()!.slice(0, LONGEST_LINE);
    for (const line of parts) this.add(line);
  }

  end(): void {
    if (this.partial) this.add(this.partial);
    this.partial = "";
  }

  /** Forgets the errors so far. */
  clearErrors(): void {
    this.errors.length = 0;
    this.errorCount = 0;
  }

  private add(line: string): void {
    const match = /^((?:\[[^\]]* @ [^\]]*\] )*)\[(\w+)\] ?(.*)$/.exec(line);
    const [sender, level, text] = match ? [match[1], match[2], match[3]] : ["", undefined, line];
    if ((level === "error" || level === "fatal" || level === "panic") && !MUXER_TIMING.test(text)) {
      this.errorCount++;
      if (this.errors.length < MOST_ERRORS) this.errors.push(text);
    }
    this.onLine({ sender, level, text });
  }
}

/** What a run of ffmpeg may have beside its arguments. */
export interface FfmpegRunOptions {
  /** Its standard input: none (default), or a pipe that the caller writes. */
  stdin?: "ignore" | "pipe";
  /** Further pipes that it writes: "pipe:3", "pipe:4", … */
  outputs?: number;
  onLine?: (line: FfmpegLine) => void;
}

/** Starts ffmpeg. The caller reads stdout; stderr goes into the log. */
export function startFfmpeg(program: string, args: readonly string[], options: FfmpegRunOptions = {}): FfmpegRun {
  const child = spawn(program, ["-nostdin", "-nostats", ...args], {
    stdio: [options.stdin ?? "ignore", "pipe", "pipe", ...Array<"pipe">(options.outputs ?? 0).fill("pipe")],
    windowsHide: true,
    // FFREPORT would make it write a log file; colours would disturb the parsing.
    env: { ...process.env, FFREPORT: undefined, AV_LOG_FORCE_NOCOLOR: "1" },
  }) as unknown as FfmpegRun["child"];
  const outputs = child.stdio.slice(3) as unknown as Readable[];
  const log = new FfmpegLog(options.onLine);
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => log.push(text));
  // ffmpeg may leave before it has read everything.
  child.stdin?.on("error", () => {});
  const ended = new Promise<FfmpegEnd>((resolve) => {
    child.on("error", (startError) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, startError });
    });
    child.once("close", (code, signal) => {
      log.end();
      resolve({ code, signal });
    });
  });
  return {
    child,
    outputs,
    log,
    ended,
    async stop() {
      // "close" never comes while a pipe has unread data.
      for (const stream of [child.stdout, ...outputs]) stream.destroy();
      child.stdin?.destroy();
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
}

/** libavutil's version, major and minor, of a line that names it; builds from git print it too. */
export function libavutilVersion(line: string): [number, number] | undefined {
  const match = /^\s*libavutil\s+(\d+)\.\s*(\d+)\./.exec(line);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/**
 * Why a run failed, in one line: ffmpeg's first two error messages, without the file's name.
 * @param path the video's, which is cut out of the messages
 */
export function ffmpegReason(log: FfmpegLog, end: FfmpegEnd, path: string): string {
  if (end.startError) return `ffmpeg cannot be run: ${reasonOf(end.startError)}`;
  const said: string[] = [];
  for (const error of log.errors) {
    const text = oneLine(error.replaceAll(`file:${path}`, "").replaceAll(path, ""))
      .replace(/^Error opening input( files?)?:?\s*/i, "")
      .replace(/^[:\s]+|[.\s]+$/g, "");
    if (text && !said.some((other) => other.includes(text))) said.push(text);
    if (said.length === 2) break;
  }
  if (said.length > 0) return oneLine(said.join("; "));
  return end.signal ? `ffmpeg was ended by ${end.signal}` : `ffmpeg ended with code ${end.code} and no message`;
}
