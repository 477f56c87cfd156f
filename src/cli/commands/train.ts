import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { knownTotal } from "../../counted.js";
import { type Dataset, type DatasetVideo, measuredOn, withReadLabels } from "../../data/dataset.js";
import { sceneCollection } from "../../data/scene/dataset.js";
import { isOfErrors } from "../../detector/frame_score.js";
import { InputError } from "../../errors.js";
import type { BenchmarkName } from "../../eval/benchmarks.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { Detector } from "../../node/detector.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { calibrationPath, readCalibration } from "../../node/files/calibration_file.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { oneLine } from "../../node/files/messages.js";
import { packageFile } from "../../node/files/package_files.js";
import { support } from "../../report/calibration/texts.js";
import { epochName } from "../../report/training/best.js";
import { LogInUseError, takeLock } from "../../server/log_lock.js";
import { checkTrainingConfig, type TrainingConfig } from "../../train/config.js";
import { smallTraining, type TrainingPresetName, trainingPresets } from "../../train/presets.js";
import { checkCanResume } from "../../train/run_checkpoint.js";
import type { TrainResult } from "../../train/trainer.js";
import { checkAnomalies } from "../../train/training_set.js";
import { checkLengths } from "../../watch/calibration.js";
import { Calibration, lengthOf, usualAlarmsPerDay } from "../normal_video.js";
import { deviceOf } from "../options/device.js";
import { checkMaskings, checkTokens, withoutErrors } from "../options/measure.js";
import { givenOn } from "../options/parse.js";
import {
  configured,
  dependentOptions,
  networkOption,
  presetTable,
  type TrainCommandOptions,
  trainOptions,
} from "../options/train.js";
import {
  type DataSource,
  foundWords,
  latestName,
  logName,
  type Measured,
  measuredBefore,
  modelName,
  pageNames,
  type Rating,
  ratingWords,
} from "../outputs/train_run.js";
import { thresholdLine } from "../terminal/calibration_summary.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { percent } from "../terminal/table.js";
import { exists, openRun, type Plan, runTraining, type WithinRun } from "../training.js";

/**
 * `train --dataset NAME --root DIR --out RUN`: trains both stages, with all files in the folder
 * RUN.
 */
export function trainCommand(): Command {
  const command = new Command("train")
    .summary("train a model on a data set")
    .description(
      "Trains a model on the normal videos of a data set: first the teacher, then its student. RUN/index.html shows the curves, " +
        "RUN/model.safetensors is the best model so far. Defaults come from the data set's preset (table below).",
    )
    .requiredOption("-o, --out <run>", "the run's folder: checkpoints, log.jsonl, index.html")
    .addOption(
      new Option(
        "--dataset <name>",
        "the data set's layout (default: detected); scene is drawn streets, without files",
      ).choices([...layoutNames, "scene"]),
    )
    .option(
      "--root <dir>",
      "the data set's folder, with train/ and test/; with --dataset folder also normal videos alone",
    )
    .option("--labels <dir>", "folder of the labels, VIDEO.txt, .csv, .npy or .mat (default: the layout's)")
    .option(
      "--small",
      "settings that two CPU cores train in less than an hour with lavapipe: about 128x192 pixels, 1.4 M parameters, all kinds of pseudo-anomalies, no student",
    )
    .option("--resume", "continue the run in --out where it was last saved");
  for (const option of trainOptions()) command.addOption(option);
  command
    .addHelpText(
      "after",
      examples(
        "npx sdmae train --dataset ped2 --root ped2/ --out run/",
        "npx sdmae train --dataset scene --out run/",
        "npx sdmae train --out run/ --resume",
      ),
    )
    .addHelpText("after", presetTable());
  const isGiven = (option: Option) => givenOn(command)(option.attributeName());
  return command.action((options: TrainCommandOptions) =>
    interruptible((signal) => trainRun(options, isGiven, signal)),
  );
}

/** @throws InputError for an option that would have no effect */
function refuseIdle(
  given: TrainCommandOptions,
  isGiven: (option: Option) => boolean,
  { scene }: DataSource,
  config: TrainingConfig,
  resumes: boolean,
) {
  const options = dependentOptions();
  const refuse = (idle: Option[], why: string) => {
    const found = idle.find(isGiven);
    if (found) throw new InputError(`${found.long} has no effect ${why}`);
  };
  if (resumes && given.init !== undefined) throw new InputError("--init has no effect with --resume");
  if (resumes) refuse(options.scene, "with --resume: the run keeps its streets");
  if (resumes) refuse(options.split, "with --resume: the run keeps its split");
  if (!scene) refuse(options.scene, "without --dataset scene");
  if (config.anomalies === "none") refuse([...options.abnormal, ...options.pseudo], "with --anomalies none");
  if (config.anomalies === "files") refuse(options.pseudo, "with --anomalies files");
  if (config.validation.select === "labels") refuse(options.validation, "with --select labels");
  else refuse(options.measure, "because validation chooses how frames are scored: add --select labels");
  const { epochs, teacherEpochs, masking, test, augmentation } = config;
  if (augmentation.share === 0) refuse(options.look, "while no sample's look changes: add --augment");
  if (teacherEpochs === epochs) refuse(options.student, "without a student: --teacher-epochs is all of --epochs");
  const { score, maskedOnly, tokens, maskings, lossFloor } = given;
  if (lossFloor !== undefined && config.loss === "masked")
    throw new InputError("--loss-floor has no effect with --loss masked");
  if (score !== undefined && !isOfErrors(test.evaluation.scoring)) throw withoutErrors("--score", test.evaluation);
  checkTokens({ maskedOnly, tokens });
  checkMaskings(maskings, masking);
}

/** @throws InputError if files are given for drawn streets */
function refuseFiles({ root, labels }: TrainCommandOptions): void {
  if (root !== undefined || labels !== undefined)
    throw new InputError("--dataset scene has no files: leave out --root and --labels");
}

/** The data of a resumed run, whose videos may have been moved. */
function resumedSource(source: DataSource, options: TrainCommandOptions): DataSource {
  if (source.scene) refuseFiles(options);
  const { dataset, root, labels } = options;
  if (dataset !== undefined && (dataset === "scene") !== (source.scene !== undefined))
    throw new InputError("--dataset has no effect with --resume: the run keeps its layout");
  return { ...source, ...(root !== undefined && { root }), ...(labels !== undefined && { labels }) };
}

function dataSource(options: TrainCommandOptions): DataSource {
  const { dataset, root, labels } = options;
  if (dataset === "scene") {
    refuseFiles(options);
    if (options.small) throw new InputError("--small is for videos: the network of --dataset scene is small already");
    if (options.split !== "test") throw new InputError("--dataset scene has no validation split: leave out --split");
    if (options.anomalies === "files")
      throw new InputError("--dataset scene has no files: use --anomalies pseudo, made from the drawn streets");
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
    throw new InputError("no videos: give the data set's folder with --root DIR, or use --dataset scene");
  const split = options.split === "test" ? undefined : options.split;
  return { ...(dataset && { dataset }), root, ...(labels !== undefined && { labels }), ...(split && { split }) };
}

async function openData(source: DataSource, size: TrainingConfig["size"]): Promise<Dataset> {
  const { dataset, root, labels, scene, split = "test" } = source;
  if (scene) return sceneCollection({ ...scene, ...size });
  return measuredOn(await openDataset(root as string, { layout: dataset as BenchmarkName | undefined, labels }), split);
}

/** The settings for two CPU cores, at the aspect ratio of the first training video. */
async function small(usual: TrainingConfig, { train }: Dataset): Promise<TrainingConfig> {
  return smallTraining(usual, await train[0].open());
}

/**
 * Reads data, settings and checkpoints. Writes nothing, so that a command that cannot work leaves a
 * run's page and log as they are.
 * @throws InputError for options, data or files that do not work, alone or together
 */
async function planRun(
  options: TrainCommandOptions,
  isGiven: (option: Option) => boolean,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Plan> {
  const { out } = options;
  const resume = options.resume
    ? await openRun(out, (best) => `a new run can start from the best teacher: --init ${oneLine(best)}`)
    : undefined;
  if (!resume) await refuseRun(out);
  const source = resume ? resumedSource(resume.source, options) : dataSource(options);
  // The preset depends on the layout; the scene's size depends on the preset.
  const preset = source.scene ? trainingPresets.scene : undefined;
  const opened = await openData(source, options.size ?? resume?.config.size ?? trainingPresets.scene.size);
  // Labels are first needed after an epoch: what is wrong with them is reported before it.
  const dataset = { ...opened, test: await withReadLabels(opened.test, signal) };
  if (dataset.train.length === 0) throw new InputError(`${oneLine(dataset.root)} has no training videos`);
  const usual = preset ?? trainingPresets[dataset.layout as TrainingPresetName];
  if (resume && options.dataset !== undefined && !source.scene && options.dataset !== dataset.layout)
    throw new InputError("--dataset has no effect with --resume: the run keeps its layout");
  const hasFiles = dataset.train.some((video) => video.abnormal);
  const begun = {
    ...(options.small ? await small(usual, dataset) : usual),
    ...(hasFiles && { anomalies: "files" as const }),
  };
  // A resumed run has its own settings. Those of --small must be the same, as all options must.
  const resumed = resume && (options.small ? { ...begun, microBatch: resume.config.microBatch } : resume.config);
  const base = resumed ?? begun;
  const config = configured(options, base, say);
  refuseIdle(options, isGiven, source, config, resume !== undefined);
  checkTrainingConfig(config);
  checkAnomalies(dataset, config.anomalies);
  if (resume) checkCanResume(resume.config, config, join(out, latestName));
  const init = resume ? undefined : await initialWeights(options, config, say);
  return { source, dataset, config, resume, init };
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
  const plan = await planRun(options, isGiven, say, signal);
  const { source, dataset, config, resume } = plan;
  if (resume?.progress.finished && resume.progress.epoch >= config.epochs) {
    say(`${oneLine(out)} is finished already`);
    const { best, bestStudent } = resume.progress;
    const kept = { ...(best && { best }), ...(bestStudent && { bestStudent }) };
    const stored = await readCalibration(calibrationPath(join(out, modelName)));
    printResult(out, config, kept, await measuredBefore(out), stored ? [thresholdLine(stored)] : []);
    return;
  }
  for (const warning of warnings(source, dataset, config)) say(`warning: ${warning}`);
  let threshold: readonly string[] = plan.config.validation.select === "validation" ? [noClipKept] : [];
  const { result, measured } = await runTraining(
    plan,
    {
      ...{ out, name: `--out ${oneLine(out)}`, device: deviceOf(options), quiet, say, saveEvery: options.saveEvery },
      ...{ memory: options.memory, frameMemory: options.frameMemory, again: "continue with --resume" },
      lock: () => lockRun(out),
      words: (found, figures) => finalWords(found, config, figures),
      onKept: async (clips, within) => {
        threshold = await calibrateKept(clips, join(out, modelName), within, signal);
        for (const line of threshold) within.run.note(line);
      },
    },
    signal,
  );
  printResult(out, config, result, measured, threshold);
}

/** @throws InputError if another process trains in this folder */
async function lockRun(out: string): Promise<() => Promise<void>> {
  return takeLock(out).catch((error: unknown) => {
    if (!(error instanceof LogInUseError)) throw error;
    throw new InputError(`${oneLine(out)}: another process (${error.pid}) trains there`);
  });
}

const thresholdAdvice = "`sdmae calibrate` makes one from more normal video";
const noClipKept = `no threshold: no clip was kept apart; ${thresholdAdvice}`;

/**
 * Finds a threshold from the normal clips that were kept apart, and keeps it beside the model,
 * where `score` finds it.
 * @returns what was found, or why there is no threshold
 */
async function calibrateKept(
  clips: readonly DatasetVideo[],
  model: string,
  { gpu, run }: WithinRun,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const sources = await Promise.all(clips.map((clip) => clip.open()));
  const clocked = sources.flatMap((source) => (source.fps === undefined ? [] : [{ source, fps: source.fps }]));
  if (clocked.length < sources.length)
    return [`no threshold: the clips that were kept apart have no clock; ${thresholdAdvice}`];
  const checkpoint = await readCheckpoint([model]);
  const detector = await Detector.open(checkpoint, { gpu, tokenMaps: true, tune: false });
  try {
    checkLengths(clocked.map(({ source }) => lengthOf(source) ?? 0));
    const total = knownTotal(clocked.map(({ source }) => source.frameCount));
    const onFrame = run.count("frames scored for the threshold", total);
    const calibration = new Calibration(detector);
    for (const { source, fps } of clocked) await calibration.add(source, fps, signal, onFrame);
    const { normal, found, stored } = calibration.finish(checkpoint, usualAlarmsPerDay);
    await writeFileAtomic(calibrationPath(model), `${JSON.stringify(stored, null, 1)}\n`);
    return [thresholdLine(found), ...support(normal, found)];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return [`no threshold: ${error.message}; ${thresholdAdvice}`];
  } finally {
    detector.close();
  }
}

/** What `--small` starts from: the model of the drawn streets. */
const smallInit = packageFile("models", "scene.safetensors");

/** Weights to start from; absent: fresh ones. @throws InputError if they are of another network */
async function initialWeights(
  { init, small }: TrainCommandOptions,
  { model }: TrainingConfig,
  say: (line: string) => void,
): Promise<Checkpoint["weights"] | undefined> {
  if (init === "none" || (init === undefined && !small)) return undefined;
  if (init !== undefined) return readInit(init, model);
  const weights = await readInit(smallInit, model).catch((error: unknown) => {
    throw error instanceof InputError ? new InputError(`${error.message}; --init none: from fresh weights`) : error;
  });
  say(`starts from the weights of ${smallInit} (--init none: from fresh ones)`);
  return weights;
}

async function readInit(path: string, model: TrainingConfig["model"]): Promise<Checkpoint["weights"]> {
  const { config, weights } = await readCheckpoint([path], model.heads).catch((error: unknown) => {
    throw error instanceof InputError ? new InputError(`--init ${error.message}`) : error;
  });
  const own = (name: string) => config[name as keyof typeof config];
  const differing = Object.entries(model).filter(([name, value]) => own(name) !== value);
  if (differing.length > 0) {
    const each = differing.map(([name, value]) => `${networkOption(name)} ${own(name)} instead of ${value}`);
    throw new InputError(`--init ${oneLine(path)}: the checkpoint is of another network: ${each.join(", ")}`);
  }
  return weights;
}

/** Things that are allowed, but probably not intended. */
function warnings(
  { scene }: DataSource,
  { root, test, testSplit = "test" }: Dataset,
  { validation: { select } }: TrainingConfig,
): string[] {
  const shared = (scene?.testSeeds ?? []).filter((seed) => scene?.trainSeeds?.includes(seed));
  return [
    ...(shared.length > 0
      ? [`${shared.length} of the test streets are training streets too (seeds ${shared.slice(0, 5).join(", ")})`]
      : []),
    ...(select === "validation" || test.some((video) => video.labels)
      ? []
      : [
          `${oneLine(root)} has no labelled ${testSplit} videos: nothing is tested, and the last model is kept as the best`,
        ]),
  ];
}

/** Prints what a run led to. */
function printResult(
  out: string,
  config: TrainingConfig,
  result: Kept,
  measured: Measured,
  threshold: readonly string[],
): void {
  console.log(finalWords(result, config, measured));
  const rated = keptRating(result, measured.ratings);
  if (rated) console.log(foundWords(rated));
  console.log(`model: ${join(out, modelName)}`);
  for (const line of threshold) console.log(line);
}

/** The best models of a run; without them, its last epoch. */
type Kept = Pick<TrainResult, "best" | "bestStudent"> & Partial<Pick<TrainResult, "epochs">>;

/** How the kept model was rated; undefined if it never was. */
function keptRating({ best, bestStudent }: Kept, ratings: ReadonlyMap<number, Rating>): Rating | undefined {
  const kept = (bestStudent?.figure ?? -1) > (best?.figure ?? -1) ? bestStudent : best;
  return kept && ratings.get(kept.epoch);
}

function finalWords(
  { epochs = [], best, bestStudent }: Kept,
  { test, validation }: TrainingConfig,
  { macroAucs, ratings }: Measured,
): string {
  const byLabels = validation.select === "labels";
  const words = Object.entries({ "best teacher": best, "best student": bestStudent }).flatMap(([name, kept]) => {
    if (!kept) return [];
    const { epoch, figure, way } = kept;
    if (!byLabels) {
      const rated = ratings.get(epoch);
      return [`${name}: ${epochName(epoch)}${rated ? `, ${ratingWords({ ...rated, ...(way && { way }) })}` : ""}`];
    }
    const macroAuc = macroAucs.get(epoch);
    const macro = macroAuc === undefined ? "" : `, macro-AUC ${percent(macroAuc, 2)}`;
    return [`${name}: micro-AUC ${percent(figure, 2)}${macro} (epoch ${epoch}, chosen by the labels of test videos)`];
  });
  const { score: rule, evaluation } = test;
  const { scoring } = evaluation;
  if (byLabels && bestStudent && (isOfErrors(scoring) ? rule === "teacher" : scoring !== "cleaned-map"))
    words.push(`frames were scored by the teacher alone (${scoring}), so these figures say nothing about the student`);
  if (!byLabels && best && bestStudent)
    words.push(`of the two ways of scoring the ${bestStudent.figure > best.figure ? "student" : "teacher"}'s is kept`);
  const last = epochs.at(-1);
  const loss = last && `; loss of the last epoch: ${last.loss.toPrecision(4)}`;
  if (words.length === 0) words.push(`no epoch was chosen, the last one is kept${loss ?? ""}`);
  return words.join("; ");
}

/** @throws InputError if a new run would overwrite another one, or files of something else */
async function refuseRun(out: string): Promise<void> {
  const shown = oneLine(out);
  if (await exists(join(out, latestName)))
    throw new InputError(`${shown} holds a run already: continue it with --resume, or choose another folder`);
  const log = await readFile(join(out, logName), "utf8").catch(() => undefined);
  if (log !== undefined && log !== "" && !log.startsWith('{"type":"'))
    throw new InputError(`${shown} holds ${logName} of something else: choose another folder`);
  // A log without an epoch is of a start that was killed.
  if (log !== undefined && /^\{"type":"epoch"/m.test(log))
    throw new InputError(`${shown} holds the log of a run whose checkpoint is gone: choose another folder`);
  if (log !== undefined) return;
  const checkpoints = ["best", "best-student"].map((kind) => `checkpoint-${kind}.safetensors`);
  for (const name of [...pageNames, ...checkpoints, modelName, calibrationPath(modelName)]) {
    if (await exists(join(out, name)))
      throw new InputError(`${shown} holds ${name} of something else: choose another folder`);
  }
}
