import { readFile, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { openTrainingCheckpoint, type TrainingCheckpoint } from "../../checkpoint/training_checkpoint.js";
import type { Dataset } from "../../data/dataset.js";
import { sceneCollection } from "../../data/scene/dataset.js";
import { isOfErrors } from "../../detector/frame_score.js";
import { InputError } from "../../errors.js";
import type { BenchmarkName } from "../../eval/benchmarks.js";
import { openNodeGpu } from "../../node/adapters/gpu.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { makeFolder } from "../../node/files/atomic.js";
import { readCheckpoint, readCheckpointFile } from "../../node/files/checkpoint_file.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { train } from "../../node/train.js";
import { checkTrainingConfig, type TrainingConfig } from "../../train/config.js";
import { type TrainingPresetName, trainingPresets } from "../../train/presets.js";
import { DivergedError } from "../../train/progress.js";
import { checkCanResume, parseTraining } from "../../train/run_checkpoint.js";
import type { TrainOptions, TrainResult } from "../../train/trainer.js";
import { checkAnomalies } from "../../train/training_set.js";
import { deviceOf } from "../options/device.js";
import {
  configured,
  dependentOptions,
  networkOption,
  presetTable,
  type TrainCommandOptions,
  trainOptions,
} from "../options/train.js";
import { Interrupted, interruptible } from "../terminal/interrupt.js";
import { percent } from "../terminal/table.js";
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
  command.addHelpText("after", presetTable());
  const isGiven = (option: Option) => command.getOptionValueSource(option.attributeName()) === "cli";
  return command.action((options: TrainCommandOptions) =>
    interruptible((signal) => trainRun(options, isGiven, signal)),
  );
}

/** @throws InputError for an option that would do nothing */
function refuseIdle(
  isGiven: (option: Option) => boolean,
  { scene }: DataSource,
  config: TrainingConfig,
  resumes: boolean,
) {
  const options = dependentOptions();
  const refuse = (idle: Option[], why: string) => {
    const given = idle.find(isGiven);
    if (given) throw new InputError(`${given.long} does nothing ${why}`);
  };
  if (resumes) refuse(options.scene, "with --resume: the streets are the run's");
  if (!scene) refuse(options.scene, "without --dataset scene");
  if (config.anomalies === "none") refuse([...options.abnormal, ...options.pseudo], "with --anomalies none");
  if (config.anomalies === "files") refuse(options.pseudo, "with --anomalies files");
}

function dataSource(options: TrainCommandOptions): DataSource {
  const { dataset, root, labels } = options;
  if (dataset === "scene") {
    if (root !== undefined || labels !== undefined)
      throw new InputError("--dataset scene has no files: leave out --root and --labels");
    if (options.anomalies === "files")
      throw new InputError("--dataset scene has no files, so no --anomalies files: pseudo are made of what is drawn");
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

async function trainRun(
  options: TrainCommandOptions,
  isGiven: (option: Option) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const { out, quiet = false } = options;
  const say = (line: string) => {
    if (!quiet) process.stderr.write(`${line}\n`);
  };
  const resume = options.resume ? await openRun(out) : undefined;
  if (!resume) await refuseRun(out);
  const source = resume?.source ?? dataSource(options);
  // Which preset depends on the layout, and the scene's size on the preset.
  const preset = source.scene ? trainingPresets.scene : undefined;
  const dataset = await openData(source, options.size ?? resume?.config.size ?? trainingPresets.scene.size);
  const base = resume?.config ?? preset ?? trainingPresets[dataset.layout as TrainingPresetName];
  const hasFiles = dataset.train.some((video) => video.abnormal);
  const config = configured(options, { ...base, ...(!resume && hasFiles && { anomalies: "files" as const }) }, say);
  // Before anything is written: a run's page and log are left as they are by a command that cannot be.
  refuseIdle(isGiven, source, config, resume !== undefined);
  checkTrainingConfig(config);
  checkAnomalies(dataset, config.anomalies);
  if (resume) checkCanResume(resume.config, config, join(out, latestName));
  const init = options.init === undefined || resume ? undefined : await readInit(options.init, config.model);
  for (const warning of warnings(source, dataset)) say(`warning: ${warning}`);
  const gpu = await openNodeGpu({ ...deviceOf(options), onNotice: say });
  signal.addEventListener("abort", () =>
    say("stopping after the step that runs, to save it; Ctrl-C again stops at once"),
  );
  let run: Run | undefined;
  let made = false;
  try {
    made = !resume && (await makeFolder(out, `--out ${oneLine(out)}`));
    say(summary(config));
    if (resume && resume.progress.epoch >= config.epochs) say(`${oneLine(out)} was finished already`);
    run = await Run.open(out, config, source, gpu.adapter.description, resume?.progress.step, quiet);
    const result = await train(config, dataset, {
      gpu,
      init,
      signal,
      onNotice: say,
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
    const words = finalWords(result, config, run.macroAucs());
    await run.end("done", words);
    console.log(words);
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
    if (run?.isEmpty && !resume) await run.remove(made);
    if (!run && made) await rmdir(out).catch(() => undefined);
    gpu.close();
  }
}

/** Weights to begin with. @throws InputError where they are of another network */
async function readInit(path: string, model: TrainingConfig["model"]): Promise<Checkpoint["weights"]> {
  const { config, weights } = await readCheckpoint([path], model.heads).catch((error: unknown) => {
    throw error instanceof InputError ? new InputError(`--init ${error.message}`) : error;
  });
  const own = (name: string) => config[name as keyof typeof config];
  const differing = Object.entries(model).filter(([name, value]) => own(name) !== value);
  if (differing.length > 0) {
    const each = differing.map(([name, value]) => `${networkOption(name)} ${own(name)}, not ${value}`);
    throw new InputError(`--init ${oneLine(path)}: the checkpoint is of another network: it has ${each.join(", ")}`);
  }
  return weights;
}

/** What is no error, but is likely not meant. */
function warnings({ scene }: DataSource, { root, test }: Dataset): string[] {
  const shared = (scene?.testSeeds ?? []).filter((seed) => scene?.trainSeeds?.includes(seed));
  return [
    ...(shared.length > 0
      ? [`${shared.length} of the streets to be tested on are learnt from too (seeds ${shared.slice(0, 5).join(", ")})`]
      : []),
    ...(test.some((video) => video.labels)
      ? []
      : [`${oneLine(root)} has no test video with labels: nothing is tested, and the last model is kept as the best`]),
  ];
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
  precision,
}: TrainingConfig): string {
  const share = anomalies === "none" ? 0 : anomalyShare;
  const students = epochs - teacherEpochs;
  return (
    `${size.height}x${size.width}, patch ${model.patch}, widths ${model.encoderWidth} and ${model.decoderWidth}; batch ${batch}, learning rate ${optimizer.learningRate}, ` +
    `${precision === "mixed" ? "float16 activations, " : ""}epochs: ${teacherEpochs} of the teacher, ${students > 0 ? `${students} of the student` : "none of the student, which is not trained"}; ${Math.round(100 * share)} % of the samples abnormal${share > 0 ? ` (${anomalies})` : ""}`
  );
}

/** How a run ended that was not finished. */
function describe(error: unknown, run: Run | undefined): string {
  if (!(error instanceof Interrupted)) return error instanceof Error ? error.message : String(error);
  if (!run?.savedStep) return "stopped before anything was saved";
  const model = run.hasModel ? "" : `; no test yet, so no model.safetensors, but ${latestName} can be scored`;
  return `saved at step ${run.savedStep}; go on with --resume${model}`;
}

function finalWords(
  { epochs, best, bestStudent }: TrainResult,
  { test }: TrainingConfig,
  macroAucs: ReadonlyMap<number, number>,
): string {
  const words = Object.entries({ "best teacher": best, "best with student": bestStudent }).flatMap(([name, kept]) => {
    if (!kept) return [];
    const macroAuc = macroAucs.get(kept.epoch);
    const macro = macroAuc === undefined ? "" : `, macro-AUC ${percent(macroAuc, 2)}`;
    return [`${name}: micro-AUC ${percent(kept.microAuc, 2)}${macro} (epoch ${kept.epoch})`];
  });
  const { score: rule, evaluation } = test;
  const { scoring } = evaluation;
  if (bestStudent && (isOfErrors(scoring) ? rule === "teacher" : scoring !== "cleaned-map"))
    words.push(`frames were scored by the teacher alone (${scoring}): these figures do not tell students apart`);
  const last = epochs.at(-1);
  if (words.length === 0 && last)
    words.push(`nothing could be tested; loss of the last epoch ${last.loss.toPrecision(4)}`);
  return words.join("; ");
}

/** A run that is to be gone on with. */
interface Resumed {
  source: DataSource;
  config: TrainingConfig;
  progress: ReturnType<typeof parseTraining>["progress"];
  from: NonNullable<TrainOptions["resume"]>;
}

/** @throws InputError where a new run would take an old one's place */
async function refuseRun(out: string): Promise<void> {
  if (await exists(join(out, latestName)))
    throw new InputError(`${oneLine(out)} holds a run already: --resume goes on with it; or name another folder`);
}

/** @throws InputError for a damaged file, with a way out where there is one */
async function readLatest(out: string): Promise<TrainingCheckpoint> {
  const path = join(out, latestName);
  try {
    return openTrainingCheckpoint(await readCheckpointFile(path));
  } catch (error) {
    const best = join(out, "checkpoint-best.safetensors");
    if (!(error instanceof InputError) || !(await exists(best))) throw error;
    throw new InputError(`${error.message}; a new run may begin with the best teacher, --init ${oneLine(best)}`);
  }
}

/** Reads a run to go on with. @throws InputError where there is none */
async function openRun(out: string): Promise<Resumed> {
  const path = (name: string) => join(out, name);
  if (!(await exists(path(latestName))))
    throw new InputError(
      `${oneLine(out)} holds no run to go on with: there is no ${latestName}; without --resume one begins there`,
    );
  const latest = await readLatest(out);
  const { config, progress } = parseTraining(latest.training, path(latestName));
  const other = async (name: string) => ((await exists(path(name))) ? readCheckpoint([path(name)]) : undefined);
  const best = progress.best ? await other("checkpoint-best.safetensors") : undefined;
  const bestStudent = progress.bestStudent ? await other("checkpoint-best-student.safetensors") : undefined;
  const from = { latest, ...(best && { best }), ...(bestStudent && { bestStudent }) };
  return { source: await readSource(path(settingsName)), config, progress, from };
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
