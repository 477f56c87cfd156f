import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { saveCheckpoint } from "../checkpoint/checkpoint.js";
import {
  openTrainingCheckpoint,
  saveTrainingCheckpoint,
  type TrainingCheckpoint,
} from "../checkpoint/training_checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import type { PseudoAnomalyOptions } from "../data/pseudo_anomaly.js";
import type { SceneAnomaly } from "../data/scene/actors.js";
import { type SceneCollectionOptions, sceneCollection } from "../data/scene/dataset.js";
import { type SceneView, sceneViews } from "../data/scene/stage.js";
import { InputError } from "../errors.js";
import type { BenchmarkName } from "../eval/benchmarks.js";
import { writeFileAtomic } from "../node/atomic.js";
import { readCheckpoint, readCheckpointFile } from "../node/checkpoint_file.js";
import { layoutNames, openDataset } from "../node/datasets/index.js";
import { openNodeGpu } from "../node/gpu.js";
import { oneLine, reasonOf } from "../node/messages.js";
import { train } from "../node/train.js";
import { TrainingLog } from "../node/training_log.js";
import { TrainingPage, type TrainingState } from "../report/training_page.js";
import type { TrainingConfig } from "../train/config.js";
import { type TrainingPresetName, trainingPresets, trainingScene } from "../train/presets.js";
import {
  type CheckpointKind,
  DivergedError,
  parseTraining,
  type TrainOptions,
  type TrainResult,
} from "../train/trainer.js";
import { Interrupted, interruptible } from "./interrupt.js";
import { type MeasureOptions, measured, measureOptions } from "./measure_options.js";
import { adapterOption, anomalyNames, type ModelOptions, modelOptions, numberIn, wholeNumber } from "./options.js";
import { Progress } from "./progress.js";
import { pseudoOf, pseudoOptions } from "./pseudo_options.js";
import { versions } from "./versions.js";

type OptionValues = Omit<ModelOptions, "preset"> & MeasureOptions & Partial<PseudoAnomalyOptions>;

interface TrainCommandOptions extends OptionValues {
  dataset?: TrainingPresetName;
  root?: string;
  labels?: string;
  out: string;
  resume?: boolean;
  init?: string;
  // What is trained, and how.
  patch?: number;
  width?: number;
  decoderWidth?: number;
  depth?: number;
  decoderDepth?: number;
  heads?: number;
  mlpRatio?: number;
  loss?: TrainingConfig["loss"];
  normPixLoss?: boolean;
  dropout?: number;
  batch?: number;
  microBatch?: number;
  epochs?: number;
  teacherEpochs?: number;
  teacher?: TrainingConfig["teacher"];
  lr?: number;
  betas?: [number, number];
  eps?: number;
  weightDecay?: number;
  schedule?: TrainingConfig["schedule"];
  warmup?: number;
  anomalies?: TrainingConfig["anomalies"];
  anomalyShare?: number;
  maskGrowth?: number;
  precision?: TrainingConfig["precision"];
  seed?: number;
  testEvery?: number;
  sceneSeeds?: number[];
  sceneTestSeeds?: number[];
  sceneVideos?: number;
  sceneTestVideos?: number;
  sceneAnomalies?: SceneAnomaly[];
  sceneFrames?: number;
  sceneFps?: number;
  sceneView?: SceneView;
  // How the run goes.
  saveEvery: number;
  memory?: number;
  frameMemory?: number;
  adapter?: string;
  quiet?: boolean;
}

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
  const groups: [heading: string, options: Option[]][] = [
    ["The network", networkOptions()],
    ["Learning", learningOptions()],
    ["Abnormal samples", anomalyOptions()],
    ["Testing", [...testOptions(), ...measureOptions()]],
    ["Drawn streets (--dataset scene)", sceneOptions()],
    ["The run", runOptions()],
  ];
  for (const [heading, options] of groups) {
    for (const option of options) command.addOption(option.helpGroup(`${heading}:`));
  }
  return command.action((options: TrainCommandOptions) => interruptible((signal) => trainRun(options, signal)));
}

function networkOptions(): Option[] {
  const shared = modelOptions().filter((option) => ["size", "maskRatio", "masking"].includes(option.attributeName()));
  return [
    ...shared,
    new Option("--patch <pixels>", "side of a patch").argParser(wholeNumber(4, 64)),
    new Option("--width <n>", "the encoder's width").argParser(wholeNumber(4, 4096)),
    new Option("--decoder-width <n>", "the decoder's width").argParser(wholeNumber(4, 4096)),
    new Option("--depth <n>", "blocks of the encoder").argParser(wholeNumber(1, 64)),
    new Option("--decoder-depth <n>", "blocks of the decoder").argParser(wholeNumber(1, 64)),
    new Option("--heads <n>", "attention heads").argParser(wholeNumber(1, 64)),
    new Option("--mlp-ratio <n>", "hidden width of an MLP over the block's").argParser(wholeNumber(1, 16)),
    new Option("--dropout <rate>", "in MLPs").argParser(numberIn(0, 0.99)),
  ];
}

function learningOptions(): Option[] {
  return [
    new Option("--batch <n>", "samples of an optimiser's step").argParser(wholeNumber(1, 100_000)),
    new Option(
      "--micro-batch <n>",
      "samples that are computed together, gradients are added up (default: as many as memory allows)",
    ).argParser(wholeNumber(1, 100_000)),
    new Option("--epochs <n>", "of both stages").argParser(wholeNumber(1, 1_000_000)),
    new Option(
      "--teacher-epochs <n>",
      "epochs of stage 1, after which the student learns; as many as --epochs: no stage 2",
    ).argParser(wholeNumber(0, 1_000_000)),
    new Option(
      "--teacher <which>",
      "whose student learns: of the teacher that tested best, or of the last one",
    ).choices(["best", "latest"]),
    new Option("--loss <kind>", "of stage 1: tokens weighted by motion, or the mean over removed tokens").choices([
      "gradient-weighted",
      "masked",
    ]),
    new Option("--norm-pix-loss", "targets of stage 1 normalised by their token's mean and variance"),
    new Option("--no-norm-pix-loss", "targets as they are"),
    new Option("--lr <rate>", "learning rate").argParser(numberIn(1e-12, 10)),
    new Option("--betas <b1,b2>", "of AdamW").argParser(twoNumbers),
    new Option("--eps <e>", "of AdamW").argParser(numberIn(1e-30, 1)),
    new Option("--weight-decay <d>", "of AdamW, for tensors of more than one dimension").argParser(numberIn(0, 10)),
    new Option("--schedule <kind>", "the learning rate over a stage").choices(["constant", "cosine"]),
    new Option("--warmup <epochs>", "in which the learning rate rises at a stage's begin").argParser(numberIn(0, 1e6)),
    new Option("--precision <kind>", "mixed: float16 activations, where the adapter has them").choices([
      "float32",
      "mixed",
    ]),
    new Option("--seed <n>", "of weights, order, masks, dropout, anomalies").argParser(wholeNumber(0)),
    new Option("--init <file>", "weights to begin with, of a checkpoint of the same sizes (default: fresh ones)"),
  ];
}

function anomalyOptions(): Option[] {
  return [
    new Option(
      "--anomalies <from>",
      "made of the training videos themselves, the data set's frames_abnormal, or none",
    ).choices(["pseudo", "files", "none"]),
    new Option("--anomaly-share <p>", "probability that a sample is abnormal").argParser(numberIn(0, 1)),
    new Option(
      "--mask-growth <pixels>",
      "of the network's input, by which masks of what is abnormal are grown",
    ).argParser(wholeNumber(0, 100)),
    ...pseudoOptions(),
  ];
}

function testOptions(): Option[] {
  const shared = modelOptions().filter((option) => ["norm", "score", "maskedOnly"].includes(option.attributeName()));
  return [new Option("--test-every <epochs>", "epochs between tests").argParser(wholeNumber(1, 1_000_000)), ...shared];
}

function sceneOptions(): Option[] {
  const { trainSeedRange, testSeedRange, train, test, frames, fps, view, anomalies } = trainingScene;
  const seeds = ([from, to]: readonly [number, number]) => [range(from, to), `${from}-${to}`] as const;
  return [
    new Option("--scene-seeds <from-to>", "streets to learn from")
      .default(...seeds(trainSeedRange))
      .argParser(seedRange),
    new Option("--scene-test-seeds <from-to>", "streets to be tested on")
      .default(...seeds(testSeedRange))
      .argParser(seedRange),
    new Option("--scene-videos <n>", "videos of each street to learn from")
      .default(train)
      .argParser(wholeNumber(1, 1000)),
    new Option("--scene-test-videos <n>", "videos of each street to be tested on")
      .default(test)
      .argParser(wholeNumber(1, 1000)),
    new Option("--scene-anomalies <names>", "what happens in them")
      .default([...anomalies], anomalies.join(","))
      .argParser(anomalyNames),
    new Option("--scene-frames <n>", "frames of a video").default(frames).argParser(wholeNumber(8, 100_000)),
    new Option("--scene-fps <n>", "frames a second").default(fps).argParser(numberIn(1, 1000)),
    new Option("--scene-view <name>", "of the whole place, or close to people").choices(sceneViews).default(view),
  ];
}

function runOptions(): Option[] {
  return [
    new Option("--save-every <seconds>", "between checkpoints within an epoch")
      .default(300)
      .argParser(numberIn(0.1, 1e6)),
    new Option("--memory <MiB>", "of the GPU, for what a step computes (default: 4096, 1024 without a GPU)").argParser(
      wholeNumber(16, 1e6),
    ),
    new Option(
      "--frame-memory <MiB>",
      "of the GPU, for frames that stay there (default: 8192, 1024 without a GPU)",
    ).argParser(wholeNumber(1, 1e6)),
    adapterOption(),
    new Option("-q, --quiet", "no progress"),
  ];
}

function twoNumbers(text: string): [number, number] {
  const values = text.split(",").map(Number);
  if (values.length !== 2 || values.some((value) => !(value >= 0 && value < 1))) {
    throw new InvalidArgumentError("Two numbers from 0 to below 1 are needed, such as 0.9,0.95.");
  }
  return values as [number, number];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function seedRange(text: string): number[] {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (!match || to < from || to - from > 10_000)
    throw new InvalidArgumentError("A range of seeds is needed, such as 1-24.");
  return range(from, to);
}

/** The options that were given, over a configuration. */
function configured(options: TrainCommandOptions, base: TrainingConfig): TrainingConfig {
  const { model, optimizer, test } = base;
  const given = <T extends object>(usual: T, values: { [K in keyof T]?: T[K] | undefined }): T => {
    const own = Object.entries(values).filter(([, value]) => value !== undefined);
    return { ...usual, ...Object.fromEntries(own) };
  };
  return {
    ...given(base, {
      size: options.size,
      maskRatio: options.maskRatio,
      masking: options.masking,
      loss: options.loss,
      normalizeTarget: options.normPixLoss,
      dropout: options.dropout,
      batch: options.batch,
      microBatch: options.microBatch,
      epochs: options.epochs,
      teacherEpochs: options.teacherEpochs ?? (options.epochs && Math.min(base.teacherEpochs, options.epochs)),
      teacher: options.teacher,
      schedule: options.schedule,
      warmup: options.warmup,
      anomalies: options.anomalies,
      anomalyShare: options.anomalyShare,
      maskGrowth: options.maskGrowth,
      precision: options.precision,
      seed: options.seed,
    }),
    model: given(model, {
      patch: options.patch,
      encoderWidth: options.width,
      decoderWidth: options.decoderWidth,
      encoderDepth: options.depth,
      decoderDepth: options.decoderDepth,
      heads: options.heads,
      mlpRatio: options.mlpRatio,
    }),
    optimizer: given(optimizer, {
      learningRate: options.lr,
      betas: options.betas,
      epsilon: options.eps,
      weightDecay: options.weightDecay,
    }),
    pseudo: pseudoOf(options, base.pseudo),
    test: {
      ...given(test, {
        every: options.testEvery,
        norm: options.norm,
        score: options.score,
        maskedOnly: options.maskedOnly,
        maskings: options.maskings,
      }),
      evaluation: measured(options, test.evaluation),
    },
  };
}

/** What of the command line the data depends on; kept in RUN/settings.json. */
interface DataSource {
  dataset?: TrainingPresetName;
  root?: string;
  labels?: string;
  scene?: Pick<SceneCollectionOptions, "trainSeeds" | "testSeeds"> & {
    videos: number;
    testVideos: number;
    anomalies: SceneAnomaly[];
    frames: number;
    fps: number;
    view: SceneView;
  };
}

function dataSource(options: TrainCommandOptions): DataSource {
  const { dataset, root, labels } = options;
  if (dataset === "scene") {
    if (root !== undefined || labels !== undefined)
      throw new InputError("--dataset scene has no files: leave out --root and --labels");
    const {
      sceneSeeds: trainSeeds,
      sceneTestSeeds: testSeeds,
      sceneVideos: videos,
      sceneTestVideos: testVideos,
      sceneAnomalies: anomalies,
      sceneFrames: frames,
      sceneFps: fps,
      sceneView: view,
    } = options;
    return {
      dataset,
      scene: { trainSeeds, testSeeds, videos, testVideos, anomalies, frames, fps, view } as NonNullable<
        DataSource["scene"]
      >,
    };
  }
  if (root === undefined)
    throw new InputError("where are the videos? name the data set's folder by --root DIR, or use --dataset scene");
  return { ...(dataset && { dataset }), root, ...(labels !== undefined && { labels }) };
}

async function openData({ dataset, root, labels, scene }: DataSource, size: TrainingConfig["size"]): Promise<Dataset> {
  if (scene) {
    const { videos, testVideos, ...options } = scene;
    return sceneCollection({ ...options, ...size, train: videos, test: testVideos });
  }
  return openDataset(root as string, { layout: dataset as BenchmarkName | undefined, labels });
}

const latestName = "checkpoint-latest.safetensors";
const settingsName = "settings.json";
/** Seconds between news for the page. */
const pageEvery = 2;

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
    `${teacherEpochs} epochs of the teacher, ${epochs - teacherEpochs} of the student; ${Math.round(100 * share)} % of the samples abnormal${share > 0 ? ` (${anomalies})` : ""}`
  );
}

/** How a run ended that was not finished. */
function describe(error: unknown, run: Run | undefined): string {
  if (!(error instanceof Interrupted)) return error instanceof Error ? error.message : String(error);
  return run?.savedStep ? `saved at step ${run.savedStep}; go on with --resume` : "stopped before anything was saved";
}

function finalWords({ tests, epochs }: TrainResult): string {
  const best = (stage: 1 | 2) => tests.filter((test) => test.stage === stage && test.best).at(-1);
  const words = ([1, 2] as const).flatMap((stage) => {
    const test = best(stage);
    if (!test) return [];
    const { microAuc, macroAuc } = test.result;
    const figures = `micro-AUC ${percent(microAuc)}, macro-AUC ${percent(macroAuc)}`;
    return [`best ${stage === 1 ? "teacher" : "with student"}: ${figures} (epoch ${test.epoch})`];
  });
  const last = epochs.at(-1);
  if (words.length === 0 && last)
    words.push(`nothing could be tested; loss of the last epoch ${last.loss.toPrecision(4)}`);
  return words.join("; ");
}

function percent(share: number | undefined): string {
  return share === undefined ? "-" : (100 * share).toFixed(2);
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
    try {
      await mkdir(out, { recursive: true });
    } catch (error) {
      throw new InputError(`--out ${oneLine(out)}: cannot be written (${reasonOf(error)})`);
    }
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

/** The files of a run, and what is shown of it. */
class Run {
  /** The step of the last checkpoint. */
  savedStep = 0;
  private progress: Progress | undefined;
  private state: TrainingState = { state: "running", text: "reading the training videos" };
  private lastPage = 0;
  private page: Promise<void> = Promise.resolve();
  private samplesPerSecond = Number.NaN;
  private lastSeconds = 0;
  private lastStep = 0;

  private constructor(
    private readonly folder: string,
    private readonly config: TrainingConfig,
    private readonly log: TrainingLog,
    private readonly html: TrainingPage,
    private readonly quiet: boolean,
  ) {}

  static async open(
    folder: string,
    config: TrainingConfig,
    data: DataSource,
    adapter: string,
    resumedStep: number | undefined,
    quiet: boolean,
  ): Promise<Run> {
    const title = `Training on ${data.scene ? "drawn streets" : (data.root ?? "")}`;
    const settings = { data, config, adapter, versions: versions() };
    if (resumedStep === undefined)
      await writeFileAtomic(join(folder, settingsName), `${JSON.stringify(settings, null, 2)}\n`);
    const log = await TrainingLog.open(folder);
    await log.rewindTo(resumedStep ?? 0);
    const run = new Run(folder, config, log, await TrainingPage.open(folder, title), quiet);
    run.savedStep = resumedStep ?? 0;
    log.append({
      type: "run",
      time: new Date().toISOString(),
      title,
      settings: { ...data, ...config },
      adapter,
      versions: versions(),
    });
    if (!quiet) process.stderr.write(`curves: ${join(folder, "index.html")}\n`);
    await run.show(true);
    return run;
  }

  callbacks(): TrainOptions {
    const { log } = this;
    const { epochs } = this.config;
    return {
      onLoad: (what, done, total) => {
        if (done === 1) {
          this.progress?.stop();
          this.progress = new Progress(
            what === "decoded" ? "frames decoded" : "frames searched for people",
            total,
            this.quiet,
          );
        }
        this.progress?.advance();
      },
      onStage: (stage, step, steps, samples) => {
        const text = `compiling the kernels of stage ${stage}`;
        this.state = { state: "running", text, epochs };
        void this.show(true);
        if (this.lastStep === 0) {
          this.progress?.stop();
          this.progress = new Progress("samples", (steps - step) * samples, this.quiet, true);
        } else if (!this.quiet) this.line(`${text} …`);
      },
      onStep: ({ steps, samples, ...report }) => {
        const { epoch, stage, step, loss, seconds } = report;
        const took = seconds - this.lastSeconds;
        // The first step of a start was compiled for.
        const rate = this.lastStep === 0 ? Number.NaN : samples / took;
        const known = Number.isFinite(this.samplesPerSecond);
        this.samplesPerSecond = known ? 0.9 * this.samplesPerSecond + 0.1 * rate : rate;
        [this.lastSeconds, this.lastStep] = [seconds, step];
        log.append({ type: "step", ...report, samplesPerSecond: this.samplesPerSecond });
        this.progress?.advance(samples, `epoch ${epoch}/${epochs}, loss ${loss.toPrecision(4)}`);
        const { samplesPerSecond } = this;
        const speed = samplesPerSecond > 0 && {
          samplesPerSecond,
          secondsLeft: ((steps - step) * samples) / samplesPerSecond,
        };
        this.state = { state: "running", text: `training stage ${stage}`, epoch, epochs, ...speed };
        void this.show();
      },
      onEpoch: (report) => {
        log.append({ type: "epoch", ...report });
        this.state = { ...this.state, text: "testing" };
        void this.show(true);
      },
      onTestFrame: () => this.progress?.advance(0, "testing"),
      onTest: ({ result, ...report }) => {
        const { microAuc, macroAuc, notes } = result;
        const figures = { ...(microAuc !== undefined && { microAuc }), ...(macroAuc !== undefined && { macroAuc }) };
        log.append({ type: "test", ...report, ...figures });
        for (const text of notes) log.append({ type: "note", text });
        this.lastSeconds = report.seconds;
        if (!this.quiet) {
          const best = report.best ? ", the best so far" : "";
          this.line(`epoch ${report.epoch}: micro-AUC ${percent(microAuc)}, macro-AUC ${percent(macroAuc)}${best}`);
        }
        void this.show(true);
      },
      onCheckpoint: (kind, checkpoint) => this.keep(kind, checkpoint),
    };
  }

  /** The run is over. */
  async end(state: TrainingState["state"], text: string): Promise<void> {
    this.progress?.stop();
    if (state !== "done") this.log.append({ type: "note", text });
    const { epoch, epochs } = this.state;
    this.state = { state, text, ...(epoch !== undefined && { epoch }), ...(epochs !== undefined && { epochs }) };
    await this.show(true);
  }

  async close(): Promise<void> {
    await this.page;
    this.log.close();
  }

  /** A line above the bar. */
  private line(text: string): void {
    process.stderr.write(`${process.stderr.isTTY ? "\r\x1b[K" : ""}${text}\n`);
  }

  private async keep(kind: CheckpointKind, checkpoint: TrainingCheckpoint): Promise<void> {
    if (kind === "model") {
      await writeFileAtomic(join(this.folder, "model.safetensors"), saveCheckpoint(checkpoint.checkpoint));
      return;
    }
    await writeFileAtomic(join(this.folder, `checkpoint-${kind}.safetensors`), saveTrainingCheckpoint(checkpoint));
    if (kind === "latest") this.savedStep = this.lastStep;
  }

  /** Gives the page news, now and then. */
  private show(now = false): Promise<void> {
    if (!now && performance.now() - this.lastPage < 1000 * pageEvery) return this.page;
    this.lastPage = performance.now();
    // One after the other; a page that cannot be written must not end the training.
    this.page = this.page.then(() => this.html.update(this.log.entries(), this.state)).catch(() => {});
    return this.page;
  }
}
