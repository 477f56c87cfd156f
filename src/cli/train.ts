import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { openTrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import { sceneCollection } from "../data/scene/dataset.js";
import { InputError } from "../errors.js";
import type { BenchmarkName } from "../eval/benchmarks.js";
import { makeFolder } from "../node/atomic.js";
import { readCheckpoint, readCheckpointFile } from "../node/checkpoint_file.js";
import { layoutNames, openDataset } from "../node/datasets/index.js";
import { openNodeGpu } from "../node/gpu.js";
import { oneLine, reasonOf } from "../node/messages.js";
import { train } from "../node/train.js";
import { checkTrainingConfig, type TrainingConfig } from "../train/config.js";
import { type TrainingPresetName, trainingPresets } from "../train/presets.js";
import { checkGoesOn, DivergedError, parseTraining, type TrainOptions, type TrainResult } from "../train/trainer.js";
import { Interrupted, interruptible } from "./interrupt.js";
import { percent } from "./table.js";
import { configured, type TrainCommandOptions, trainOptions } from "./train_options.js";
import { type DataSource, latestName, Run, settingsName } from "./train_run.js";

/** `train --dataset NAME --root DIR --out RUN`: both stages, with everything that happens in the folder RUN. */
export function trainCommand(): Command {
  const command = new Command("train")
    .description(
      "Trains a model on the normal videos of a data set: first the teacher, then its student. RUN/index.html shows how it goes, " +
        "RUN/model.safetensors is the best model so far. Defaults are the data set's preset.",
    )
    .addOption(
      new Option(
        "--dataset <name>",
        "the data set's layout (default: found out), or scene: drawn streets, without files",
      ).choices([...layoutNames, "scene"]),
    )
    .option("--root <dir>", "the data set's folder")
    .option("--labels <dir>", "where the frame labels are, if not where the layout has them")
    .requiredOption("-o, --out <run>", "the run's folder: checkpoints, log.jsonl, index.html")
    .option("--resume", "go on with the run in --out, where it was saved last");
  for (const option of trainOptions()) command.addOption(option);
  return command.action((options: TrainCommandOptions) => interruptible((signal) => trainRun(options, signal)));
}

function dataSource(options: TrainCommandOptions): DataSource {
  const { dataset, root, labels } = options;
  if (dataset === "scene") {
    if (root !== undefined || labels !== undefined)
      throw new InputError("--dataset scene has no files: leave out --root and --labels");
    const {
      sceneSeeds,
      sceneTestSeeds,
      sceneVideos,
      sceneTestVideos,
      sceneAnomalies,
      sceneFrames,
      sceneFps,
      sceneView,
    } = options;
    const seeds = { trainSeeds: sceneSeeds, testSeeds: sceneTestSeeds, train: sceneVideos, test: sceneTestVideos };
    return {
      dataset,
      scene: { ...seeds, anomalies: sceneAnomalies, frames: sceneFrames, fps: sceneFps, view: sceneView },
    };
  }
  if (root === undefined)
    throw new InputError("where are the videos? name the data set's folder by --root DIR, or use --dataset scene");
  return { ...(dataset && { dataset }), root, ...(labels !== undefined && { labels }) };
}

async function openData({ dataset, root, labels, scene }: DataSource, size: TrainingConfig["size"]): Promise<Dataset> {
  if (scene) return sceneCollection({ ...scene, ...size });
  return openDataset(root as string, { layout: dataset as BenchmarkName | undefined, labels });
}

async function trainRun(options: TrainCommandOptions, signal: AbortSignal): Promise<void> {
  const { out, quiet = false } = options;
  const say = (line: string) => {
    if (!quiet) process.stderr.write(`${line}\n`);
  };
  const resume = await openRun(options);
  const source = resume?.source ?? dataSource(options);
  // Which preset depends on the layout, and the scene's size on the preset.
  const preset = source.scene ? trainingPresets.scene : undefined;
  const dataset = await openData(source, options.size ?? resume?.config.size ?? trainingPresets.scene.size);
  const base = resume?.config ?? preset ?? trainingPresets[dataset.layout as TrainingPresetName];
  const hasFiles = dataset.train.some((video) => video.abnormal);
  const config = configured(options, { ...base, ...(!resume && hasFiles && { anomalies: "files" as const }) });
  const init =
    options.init === undefined || resume ? undefined : (await readCheckpoint([options.init], options.heads)).weights;
  // Before anything is written: a run's page and log are left as they are by a command that cannot be.
  checkTrainingConfig(config);
  if (resume) checkGoesOn(resume.config, config, join(out, latestName));
  const gpu = await openNodeGpu({ adapter: options.adapter, onNotice: say });
  let run: Run | undefined;
  try {
    say(summary(config));
    run = await Run.open(out, config, source, gpu.adapter.description, resume?.step, quiet);
    const result = await train(config, dataset, {
      gpu,
      init,
      signal,
      framesFolder: out,
      datasetName: dataset.layout,
      saveEvery: options.saveEvery,
      memory: {
        ...(options.memory && { activations: options.memory * 2 ** 20 }),
        ...(options.frameMemory && { frames: options.frameMemory * 2 ** 20 }),
      },
      ...(resume && { resume: resume.from }),
      ...run.callbacks(),
    });
    await run.end("done", finalWords(result));
    console.log(finalWords(result));
    console.log(`model: ${join(out, "model.safetensors")}`);
  } catch (error) {
    await run?.end(error instanceof Interrupted ? "stopped" : "failed", describe(error, run));
    if (error instanceof Interrupted) say(describe(error, run));
    if (error instanceof DivergedError) {
      const good = run?.savedStep
        ? `the last good checkpoint is ${join(out, latestName)}, of step ${run.savedStep}`
        : "no checkpoint was written yet";
      throw new Error(`${error.message}; ${good}`);
    }
    throw error;
  } finally {
    await run?.close();
    gpu.close();
  }
}

/** A run in a line. */
function summary({
  model,
  size,
  batch,
  epochs,
  teacherEpochs,
  optimizer,
  anomalies,
  anomalyShare,
}: TrainingConfig): string {
  const share = anomalies === "none" ? 0 : anomalyShare;
  return (
    `${size.height}x${size.width}, patch ${model.patch}, widths ${model.encoderWidth} and ${model.decoderWidth}; batch ${batch}, learning rate ${optimizer.learningRate}, ` +
    `epochs: ${teacherEpochs} of the teacher, ${epochs - teacherEpochs} of the student; ${Math.round(100 * share)} % of the samples abnormal${share > 0 ? ` (${anomalies})` : ""}`
  );
}

/** How a run ended that was not finished. */
function describe(error: unknown, run: Run | undefined): string {
  if (!(error instanceof Interrupted)) return error instanceof Error ? error.message : String(error);
  return run?.savedStep ? `saved at step ${run.savedStep}; go on with --resume` : "stopped before anything was saved";
}

function finalWords({ tests, epochs, best, bestStudent }: TrainResult): string {
  const words = Object.entries({ "best teacher": best, "best with student": bestStudent }).flatMap(([name, kept]) => {
    if (!kept) return [];
    // A test before the run was resumed is known by its micro-AUC alone.
    const macroAuc = tests.find(({ epoch }) => epoch === kept.epoch)?.result.macroAuc;
    const macro = macroAuc === undefined ? "" : `, macro-AUC ${percent(macroAuc, 2)}`;
    return [`${name}: micro-AUC ${percent(kept.microAuc, 2)}${macro} (epoch ${kept.epoch})`];
  });
  const last = epochs.at(-1);
  if (words.length === 0 && last)
    words.push(`nothing could be tested; loss of the last epoch ${last.loss.toPrecision(4)}`);
  return words.join("; ");
}

/** A run that is to be gone on with. */
interface Resumed {
  source: DataSource;
  config: TrainingConfig;
  step: number;
  from: NonNullable<TrainOptions["resume"]>;
}

/** @throws InputError where --resume finds no run, or a new run would take an old one's place */
async function openRun({ out, resume }: TrainCommandOptions): Promise<Resumed | undefined> {
  const path = (name: string) => join(out, name);
  const there = await exists(path(latestName));
  if (!resume) {
    if (there)
      throw new InputError(`${oneLine(out)} holds a run already: --resume goes on with it; or name another folder`);
    await makeFolder(out, `--out ${oneLine(out)}`);
    return undefined;
  }
  if (!there) throw new InputError(`${oneLine(out)} holds no run to go on with: there is no ${latestName}`);
  const latest = openTrainingCheckpoint(await readCheckpointFile(path(latestName)));
  const { config, progress } = parseTraining(latest.training, path(latestName));
  const other = async (name: string) => ((await exists(path(name))) ? readCheckpoint([path(name)]) : undefined);
  const best = progress.best ? await other("checkpoint-best.safetensors") : undefined;
  const bestStudent = progress.bestStudent ? await other("checkpoint-best-student.safetensors") : undefined;
  const from = { latest, ...(best && { best }), ...(bestStudent && { bestStudent }) };
  return { source: await readSource(path(settingsName)), config, step: progress.step, from };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readSource(path: string): Promise<DataSource> {
  try {
    const { data } = JSON.parse(await readFile(path, "utf8")) as { data: DataSource };
    if (!data.scene && typeof data.root !== "string") throw new Error("it names no data");
    return data;
  } catch (error) {
    throw new InputError(`${oneLine(path)}: does not say what the run was trained on (${reasonOf(error)})`);
  }
}
