// Scores a video with what the options of `score` say.
import { stat } from "node:fs/promises";
import { extname } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { counted } from "../counted.js";
import type { PixelFormat } from "../data/frame.js";
import type { DetectorOptions } from "../detector/detector.js";
import { isOfErrors } from "../detector/frame_score.js";
import type { FrameScore } from "../detector/scores.js";
import { InputError } from "../errors.js";
import { Profiler } from "../gpu/profiler.js";
import { Detector, type NodeDetectorOptions } from "../node/detector.js";
import { AtomicFile } from "../node/files/atomic.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { isAddress } from "../node/media/address.js";
import type { FrameOrder } from "../node/media/frame_order.js";
import { openInput } from "../node/media/open.js";
import type { RawOptions } from "../node/media/pipe.js";
import type { Size } from "../ops/resize.js";
import { deviceOf } from "./options/device.js";
import { withLogin } from "./options/input.js";
import { type FrameScoreOptions, frameScoreOf, mapForDetector, scoringNotices } from "./options/measure.js";
import { checkpointPaths, type ModelOptions, scoreOptions } from "./options/model.js";
import type { IsGiven } from "./options/parse.js";
import type { WatchOptions } from "./options/watch.js";
import { ScoreOutputs, wantsOutputs } from "./outputs/score_outputs.js";
import { Interrupted } from "./terminal/interrupt.js";
import { profileTable } from "./terminal/profile_table.js";
import { Progress } from "./terminal/progress.js";

/** The options of `score`. */
export interface ScoreCommandOptions extends ModelOptions, FrameScoreOptions, WatchOptions {
  checkpoint: string;
  /** What a report calls the checkpoint. Default: its path. */
  checkpointName?: string;
  student?: string;
  out?: string;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
  seed: number;
  batch?: number;
  heads?: number;
  order: FrameOrder;
  step?: number;
  rawSize?: Size;
  rawFormat: PixelFormat;
  rawFps?: number;
  profile?: boolean;
  quiet?: boolean;
}

/** Where models and detectors come from: whoever scores many videos keeps them. */
export interface Detectors {
  /** Reads a checkpoint, see {@link readCheckpoint}. */
  read(paths: readonly string[], heads: number | undefined): Promise<Checkpoint>;
  open(checkpoint: Checkpoint, options: NodeDetectorOptions): Promise<Detector>;
  /** A video was scored, or could not be. */
  close(detector: Detector): void;
}

/** What {@link score} needs beside the options. */
export interface Scoring {
  isGiven: IsGiven;
  signal: AbortSignal;
  /** Default: one for this video. */
  detectors?: Detectors;
  /** So many frames were scored, of so many if that is known. The next one waits for it. */
  onFrame?(count: number, total: number | undefined): void | Promise<void>;
}

const ownDetectors: Detectors = {
  read: readCheckpoint,
  open: (checkpoint, options) => Detector.open(checkpoint, options),
  close: (detector) => detector.close(),
};

const columns = "frame,time,student_error,target_error,score\n";

/**
 * Scores every frame of an input, and writes what the options ask for.
 * @throws InputError if something cannot be read or written, or options contradict each other;
 * GpuError if the GPU fails; the signal's reason
 */
export async function score(
  input: string,
  options: ScoreCommandOptions,
  { isGiven, signal, detectors = ownDetectors, onFrame }: Scoring,
): Promise<void> {
  // 1. The model, the input and the output file.
  const format = await outputFormat(options.out);
  const say = (line: string) => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  const checkpoint = await detectors.read(checkpointPaths(options), options.heads);
  await refuseIdle(input, isGiven);
  const source = await openInput(withLogin(input), {
    ...{ order: options.order, step: options.step },
    ...{ raw: rawOptions(options), signal },
  });
  let file: AtomicFile | undefined;
  let outputs: ScoreOutputs | undefined;
  let detector: Detector | undefined;
  let progress: Progress | undefined;
  try {
    const frameScore = frameScoreOf(options);
    const settings: DetectorOptions = {
      ...scoreOptions(options),
      frameScore,
      seed: options.seed,
      batch: options.batch,
    };
    file = options.out === undefined ? undefined : await AtomicFile.create(options.out);
    // With a page, a video or a list of events, scores go to a file only.
    const printed = !wantsOutputs(options);
    const write = async (text: string) => {
      if (file) await file.write(text);
      else if (printed) await print(text);
    };
    const { checkpoint: path, checkpointName } = options;
    const named = { checkpoint: path, ...(checkpointName !== undefined && { checkpointName }) };
    const context = { input: source.name, ...named, quiet: options.quiet ?? false, say, signal };
    outputs = await ScoreOutputs.open(options, context);
    detector = await detectors.open(checkpoint, {
      ...settings,
      ...deviceOf(options),
      tune: options.tune,
      tokenMaps: wantsOutputs(options),
      onNotice: say,
    });
    const uses = { errors: file !== undefined || printed, map: printed ? undefined : mapForDetector(detector) };
    for (const notice of scoringNotices(detector, options, isGiven, uses)) say(notice);
    for (const note of source.notes ?? []) say(note);
    const { adapter } = detector.gpu;
    if (options.profile && !Profiler.available(detector.gpu)) {
      throw new InputError(`--profile: the adapter ${adapter.description} has no timestamp queries`);
    }
    signal.throwIfAborted();
    // 2. Scores. On a terminal the printed rows show the progress.
    const watched = await outputs.start(detector, source);
    const quiet = options.quiet || (!file && printed && process.stdout.isTTY);
    progress = new Progress("frames", source.frameCount ?? source.estimatedFrameCount, quiet ?? false, true);
    await write(format === "csv" ? columns : jsonHead(source.name, detector, options));
    const total = source.frameCount ?? source.estimatedFrameCount;
    let count = 0;
    let top: FrameScore | undefined;
    for await (const result of detector.stream(watched, signal)) {
      await write(
        format === "csv" ? csvLine(result) : `${count > 0 ? ",\n" : ""}    ${JSON.stringify(record(result))}`,
      );
      count++;
      await outputs.take(result);
      if (!top || result.score > top.score) top = result;
      progress.advance();
      await onFrame?.(count, total);
    }
    if (format === "json") await write("\n  ]\n}\n");
    progress.stop();
    // 3. The profile, and a summary.
    if (options.profile) {
      for (const line of profileTable(await detector.profile())) process.stderr.write(`${line}\n`);
    }
    signal.throwIfAborted();
    const written = await outputs.finish();
    await file?.commit();
    for (const warning of source.warnings ?? []) say(`warning: ${warning}`);
    const { height, width } = detector.settings.size;
    const memory = (detector.gpu.allocatedBytes / 1e6).toFixed(0);
    say(
      `${counted(count, "frame")} at ${height}x${width} in ${progress.seconds.toFixed(1)} s (${progress.rate.toPrecision(3)} frames/s after the first), ` +
        `${memory} MB of GPU memory, on ${adapter.description}`,
    );
    if (top) {
      say(
        `highest score ${top.score.toPrecision(6)} at frame ${top.frame}${options.out ? `; written to ${options.out}` : ""}`,
      );
    }
    for (const line of written) say(line);
  } finally {
    progress?.stop();
    await outputs?.discard();
    await file?.discard();
    await source.close?.();
    if (detector) detectors.close(detector);
  }
}

function rawOptions({ rawSize, rawFormat, rawFps }: ScoreCommandOptions): RawOptions | undefined {
  return rawSize && { ...rawSize, format: rawFormat, fps: rawFps };
}

/** @throws InputError for an option that does not suit the kind of input */
async function refuseIdle(input: string, isGiven: IsGiven): Promise<void> {
  const refuse = (flags: Record<string, string>, why: string) => {
    const given = Object.entries(flags).find(([name]) => isGiven(name));
    if (given) throw new InputError(`${given[1]} has no effect ${why}`);
  };
  if (!isGiven("rawSize")) refuse({ rawFormat: "--raw-format", rawFps: "--raw-fps" }, "without --raw-size");
  const isFolder = (await stat(input).catch(() => undefined))?.isDirectory() ?? false;
  if (!isFolder) refuse({ order: "--order", step: "--step" }, `on ${shown(input)}, which is not a folder of images`);
}

/** An input's name, without the password of an address. */
function shown(input: string): string {
  return isAddress(input) ? "an address" : oneLine(input);
}

/**
 * Writes to the standard output, and waits until the text was taken. If the reader leaves
 * (`| head`), the command ends as after Ctrl-C.
 */
function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (!error) resolve();
      else if ("code" in error && error.code === "EPIPE") reject(new Interrupted("nobody reads the output"));
      else reject(new InputError(`the standard output cannot be written (${reasonOf(error)})`));
    });
  });
}

async function outputFormat(out: string | undefined): Promise<"csv" | "json"> {
  // Otherwise this would be noticed only at the end, when the file gets its name.
  if (out !== undefined && (await stat(out).catch(() => undefined))?.isDirectory()) {
    throw new InputError(`${out}: cannot be written (it is a folder)`);
  }
  const extension = out === undefined ? ".csv" : extname(out).toLowerCase();
  if (extension === ".csv") return "csv";
  if (extension === ".json") return "json";
  throw new InputError(`--out ${out}: the name must end in .csv or .json`);
}

function csvLine(result: FrameScore): string {
  const { frame, time, studentError, targetError, score } = record(result);
  return `${[frame, time ?? "", studentError, targetError, score].join(",")}\n`;
}

/** A frame's row. Nine digits tell all float32 values apart. */
function record({ frame, time, studentError, targetError, score }: FrameScore) {
  const digits = (value: number) => Number(value.toPrecision(9));
  return {
    frame,
    ...(time !== undefined && { time: Number(time.toFixed(6)) }),
    studentError: digits(studentError),
    targetError: digits(targetError),
    score: digits(score),
  };
}

function jsonHead(input: string, detector: Detector, { seed }: ScoreCommandOptions): string {
  const { score: rule, norm, ...settings } = detector.settings;
  const head = {
    input,
    checkpoint: detector.checkpoint.source,
    seed,
    settings: { ...settings, ...(isOfErrors(settings.frameScore.scoring) && { score: rule, norm }) },
    adapter: detector.gpu.adapter,
  };
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "frames": [\n`;
}
