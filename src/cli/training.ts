// Runs training in a folder, from its plan to the files of the run; and reads such a folder again.
import { readFile, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { openTrainingCheckpoint, type TrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import type { Dataset, DatasetVideo } from "../data/dataset.js";
import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { type NodeGpuOptions, openNodeGpu } from "../node/adapters/gpu.js";
import { makeFolder } from "../node/files/atomic.js";
import { readCheckpoint, readCheckpointFile } from "../node/files/checkpoint_file.js";
import { oneLine, printable, reasonOf } from "../node/files/messages.js";
import { train } from "../node/train.js";
import type { TrainingConfig } from "../train/config.js";
import { DivergedError } from "../train/progress.js";
import { parseTraining } from "../train/run_checkpoint.js";
import type { TrainOptions, TrainResult } from "../train/trainer.js";
import { type DataSource, latestName, type Measured, Run, settingsName } from "./outputs/train_run.js";
import { Interrupted } from "./terminal/interrupt.js";
import { messageOf } from "./terminal/message.js";

/** What a run needs, all of it checked. */
export interface Plan {
  source: DataSource;
  dataset: Dataset;
  config: TrainingConfig;
  resume: Resumed | undefined;
  /** Weights to start from. */
  init: Checkpoint["weights"] | undefined;
}

/** A run that is continued. */
export interface Resumed {
  source: DataSource;
  config: TrainingConfig;
  progress: ReturnType<typeof parseTraining>["progress"];
  from: NonNullable<TrainOptions["resume"]>;
}

/** What is open while a run goes on. */
export interface WithinRun {
  gpu: Gpu;
  run: Run;
}

/** How a run is done. */
export interface RunOptions {
  /** The run's folder. */
  out: string;
  /** What messages call it. */
  name: string;
  device: NodeGpuOptions;
  quiet: boolean;
  say(line: string): void;
  /** Seconds between checkpoints. */
  saveEvery: number;
  /** MiB for what a step computes, and for frames. */
  memory?: number | undefined;
  frameMemory?: number | undefined;
  /** Whether training makes no sense if nothing can be rated without labels. */
  mustRate?: boolean;
  /** How a run that was stopped is continued, for messages. */
  again: string;
  /** Locks the folder. @returns what ends the lock */
  lock?(): Promise<() => Promise<void>>;
  /** What the run has led to, for its page. */
  words(result: TrainResult, measured: Measured): string;
  /** See {@link TrainOptions}. */
  onKept?(clips: readonly DatasetVideo[], within: WithinRun): Promise<void>;
}

/**
 * Trains, with all files in the run's folder. If the signal stops it, the run can be continued.
 * @throws InputError, GpuError and NoAdapterError as train does; Error if training diverged; the
 * signal's reason
 */
export async function runTraining(
  { source, dataset, config, resume, init }: Plan,
  options: RunOptions,
  signal: AbortSignal,
): Promise<{ result: TrainResult; measured: Measured }> {
  const { out, quiet, say, memory, frameMemory, again, onKept } = options;
  const gpu = await openNodeGpu({ ...options.device, onNotice: say });
  let run: Run | undefined;
  signal.addEventListener("abort", () => {
    if (!run?.comparesMaskings) say("stopping after the current step, to save it; Ctrl-C again stops at once");
  });
  let made = false;
  let unlock: (() => Promise<void>) | undefined;
  try {
    made = !resume && (await makeFolder(out, options.name));
    unlock = await options.lock?.();
    say(summary(config));
    const opened = await Run.open(out, config, source, gpu.adapter.description, resume?.progress.step, quiet);
    run = opened;
    const callbacks = opened.callbacks();
    const result = await train(config, dataset, {
      gpu,
      init,
      signal,
      // It may name files, whose names are not trusted.
      onNotice: (line) => say(printable(line)),
      framesFolder: out,
      datasetName: dataset.layout,
      saveEvery: options.saveEvery,
      memory: {
        ...(memory && { activations: memory * 2 ** 20 }),
        ...(frameMemory && { frames: frameMemory * 2 ** 20 }),
      },
      ...(resume && { resume: resume.from }),
      ...callbacks,
      onStage: (...stage) => {
        if (options.mustRate && opened.measured().ratings.size === 0)
          throw new InputError("training makes no sense: nothing could rate what it learns");
        callbacks.onStage?.(...stage);
      },
      ...(onKept && { onKept: (clips) => onKept(clips, { gpu, run: opened }) }),
    });
    const measured = run.measured();
    await run.end("done", options.words(result, measured));
    return { result, measured };
  } catch (error) {
    const why = describe(error, run, { resumed: resume !== undefined, again });
    await run?.end(error instanceof Interrupted ? "stopped" : "failed", why);
    if (error instanceof Interrupted) say(why);
    if (error instanceof DivergedError) {
      const good = run?.savedStep
        ? `the last good checkpoint is ${join(out, latestName)}, of step ${run.savedStep}`
        : "no checkpoint was written yet";
      throw new Error(`${error.message}; ${good}`);
    }
    throw error;
  } finally {
    await run?.close();
    await unlock?.();
    if (run?.isEmpty && !resume) await run.remove(made);
    if (!run && made) await rmdir(out).catch(() => undefined);
    gpu.close();
  }
}

/** A run's settings in one line. */
function summary({
  model,
  size,
  batch,
  epochs,
  teacherEpochs,
  optimizer,
  anomalies,
  anomalyShare,
  precision,
}: TrainingConfig): string {
  const share = anomalies === "none" ? 0 : anomalyShare;
  const students = epochs - teacherEpochs;
  return (
    `${size.height}x${size.width}, patch ${model.patch}, widths ${model.encoderWidth} and ${model.decoderWidth}; batch ${batch}, learning rate ${optimizer.learningRate}, ` +
    `${precision === "mixed" ? "float16 activations, " : ""}epochs: ${teacherEpochs} of the teacher, ${students > 0 ? `${students} of the student` : "none of the student (it is not trained)"}; ${Math.round(100 * share)} % of the samples abnormal${share > 0 ? ` (${anomalies})` : ""}`
  );
}

/** Why a run ended before it was finished, and how to continue. */
function describe(
  error: unknown,
  run: Run | undefined,
  { resumed, again }: { resumed: boolean; again: string },
): string {
  if (!(error instanceof Interrupted)) return messageOf(error);
  if (run?.comparesMaskings)
    return `stopped while maskings were compared; all epochs are saved at step ${run.savedStep}, ${again}, which begins the comparison again`;
  if (!run?.savedStep) return resumed ? `stopped; the run is as it was, ${again}` : "stopped before anything was saved";
  const model = run.hasModel
    ? ""
    : `; without a test there is no model.safetensors yet, but ${latestName} can be scored`;
  return `saved at step ${run.savedStep}; ${again}${model}`;
}

/** @throws InputError for a damaged file, with what to do if there is a best teacher */
async function readLatest(out: string, advice: (best: string) => string): Promise<TrainingCheckpoint> {
  const path = join(out, latestName);
  try {
    return openTrainingCheckpoint(await readCheckpointFile(path));
  } catch (error) {
    const best = join(out, "checkpoint-best.safetensors");
    if (!(error instanceof InputError) || !(await exists(best))) throw error;
    throw new InputError(`${error.message}; ${advice(best)}`);
  }
}

/**
 * Reads a run to continue.
 * @param advice what to do if it is damaged, but its best teacher is there
 * @throws InputError if there is none, or it is damaged
 */
export async function openRun(out: string, advice: (best: string) => string): Promise<Resumed> {
  const path = (name: string) => join(out, name);
  if (!(await exists(path(latestName))))
    throw new InputError(
      `${oneLine(out)} holds no run to continue: it has no ${latestName}; start one without --resume`,
    );
  const latest = await readLatest(out, advice);
  const { config, progress } = parseTraining(latest.training, path(latestName));
  const other = async (name: string) => ((await exists(path(name))) ? readCheckpoint([path(name)]) : undefined);
  const best = progress.best ? await other("checkpoint-best.safetensors") : undefined;
  const bestStudent = progress.bestStudent ? await other("checkpoint-best-student.safetensors") : undefined;
  const from = { latest, ...(best && { best }), ...(bestStudent && { bestStudent }) };
  return { source: await readSource(path(settingsName)), config, progress, from };
}

/** Whether there is something at a path. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readSource(path: string): Promise<DataSource> {
  try {
    const { data } = JSON.parse(await readFile(path, "utf8")) as { data: DataSource };
    if (!data.scene && typeof data.root !== "string") throw new Error("no data set is named");
    return data;
  } catch (error) {
    throw new InputError(`${oneLine(path)} does not say what the run was trained on (${reasonOf(error)})`);
  }
}
