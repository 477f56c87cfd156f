import { InvalidArgumentError, Option } from "commander";
import type { PseudoAnomalyOptions } from "../../data/anomalies/pseudo_anomaly.js";
import type { SceneAnomaly } from "../../data/scene/actors.js";
import { type SceneView, sceneViews } from "../../data/scene/stage.js";
import { gridMaskRatio } from "../../model/masking.js";
import type { TrainingConfig } from "../../train/config.js";
import { type TrainingPresetName, trainingPresets, trainingScene } from "../../train/presets.js";
import { table } from "../terminal/table.js";
import { adapterOption, robustOption } from "./device.js";
import { type MeasureOptions, measured, measureOptions } from "./measure.js";
import { type ModelOptions, modelOptions } from "./model.js";
import { anomalyNames, numberIn, wholeNumber } from "./parse.js";
import { pseudoOf, pseudoOptions } from "./pseudo_anomalies.js";

type OptionValues = Omit<ModelOptions, "preset"> & MeasureOptions & Partial<PseudoAnomalyOptions>;

/** What `train` takes, as commander returns it: what was not given, and has no default of its own, is absent. */
export interface TrainCommandOptions extends OptionValues {
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
  sceneSeeds: number[];
  sceneTestSeeds: number[];
  sceneVideos: number;
  sceneTestVideos: number;
  sceneAnomalies: SceneAnomaly[];
  sceneFrames: number;
  sceneFps: number;
  sceneView: SceneView;
  // How the run goes.
  saveEvery: number;
  memory?: number;
  frameMemory?: number;
  adapter?: string;
  robust?: boolean;
  quiet?: boolean;
}

/** The options behind {@link TrainCommandOptions}, but for where data comes from and goes to, in groups. */
export function trainOptions(): Option[] {
  const groups: [heading: string, options: Option[]][] = [
    ["The network", networkOptions()],
    ["Learning", learningOptions()],
    ["Abnormal samples", anomalyOptions()],
    ["Testing", [...testOptions(), ...measureOptions("preset")]],
    ["Drawn streets (--dataset scene)", sceneOptions()],
    ["The run", runOptions()],
  ];
  return groups.flatMap(([heading, options]) => options.map((option) => option.helpGroup(`${heading}:`)));
}

/** What the presets say, as a table for `--help`. */
export function presetTable(): string {
  const head = [
    "preset",
    "size",
    "patch",
    "width",
    "depth",
    "mask",
    "batch",
    "lr",
    "epochs",
    "abnormal",
    "frame score",
  ];
  const rows = Object.entries(trainingPresets).map(([name, config]) => {
    const { model, size, optimizer, epochs, teacherEpochs, test } = config;
    return [
      name,
      `${size.height}x${size.width}`,
      String(model.patch),
      `${model.encoderWidth}+${model.decoderWidth}`,
      `${model.encoderDepth}+${model.decoderDepth}`,
      String(config.maskRatio),
      String(config.batch),
      String(optimizer.learningRate),
      `${teacherEpochs}+${epochs - teacherEpochs}`,
      String(config.anomalyShare),
      test.evaluation.scoring,
    ];
  });
  const lines = [
    "",
    "The presets (width and depth of encoder + decoder, epochs of teacher + student):",
    ...table(head, rows),
  ];
  return lines.join("\n");
}

/** Names in {@link TrainingConfig.model} of what has an option. */
const networkNames: Readonly<Partial<Record<keyof TrainingConfig["model"], string>>> = {
  patch: "--patch",
  encoderWidth: "--width",
  decoderWidth: "--decoder-width",
  encoderDepth: "--depth",
  decoderDepth: "--decoder-depth",
  heads: "--heads",
  mlpRatio: "--mlp-ratio",
};

/** The option behind a size of the network; the name itself where there is none. */
export function networkOption(name: string): string {
  return networkNames[name as keyof typeof networkNames] ?? name;
}

/** Options that do nothing without drawn streets, without abnormal samples, or without pseudo-anomalies. */
export function dependentOptions(): Record<"scene" | "abnormal" | "pseudo", Option[]> {
  return { scene: sceneOptions(), abnormal: shareOptions(), pseudo: trainPseudoOptions() };
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
      "epochs of stage 1, after which the student learns; as many as --epochs: no stage 2 (default: the preset's share of them)",
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
    new Option(
      "--precision <kind>",
      "mixed: float16 activations and float32 weights, on adapters that have float16 (shader-f16; others refuse it)",
    ).choices(["float32", "mixed"]),
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
    ...shareOptions(),
    ...trainPseudoOptions(),
  ];
}

function shareOptions(): Option[] {
  return [
    new Option("--anomaly-share <p>", "probability that a sample is abnormal").argParser(numberIn(0, 1)),
    new Option(
      "--mask-growth <pixels>",
      "of the network's input, by which masks of what is abnormal are grown",
    ).argParser(wholeNumber(0, 100)),
  ];
}

function trainPseudoOptions(): Option[] {
  return pseudoOptions(Object.fromEntries(Object.entries(trainingPresets).map(([name, { pseudo }]) => [name, pseudo])));
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
    new Option("--save-every <seconds>", "between checkpoints within an epoch; not kept for --resume")
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
    robustOption(),
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

/** Epochs of stage 1 where only those of both are given: the same share of them, and one at least for each stage that there is. */
function teacherShare(epochs: number | undefined, base: TrainingConfig): number | undefined {
  if (epochs === undefined) return undefined;
  const share = Math.round((epochs * base.teacherEpochs) / base.epochs);
  if (base.teacherEpochs === 0 || base.teacherEpochs === base.epochs) return share;
  return Math.min(Math.max(1, share), Math.max(1, epochs - 1));
}

/** The configuration's mask ratio, or the nearest that leaves a grid at the size that was given. */
function fittingRatio(options: TrainCommandOptions, base: TrainingConfig, say: (line: string) => void): number {
  const size = options.size ?? base.size;
  const ratio = gridMaskRatio(size, options.patch ?? base.model.patch, base.maskRatio);
  if (ratio !== base.maskRatio) {
    say(
      `mask ratio ${base.maskRatio} leaves no grid at ${size.height}x${size.width}: using the nearest that does, ${ratio}`,
    );
  }
  return ratio;
}

/**
 * The options that were given, over a configuration.
 * @param say receives a line if the configuration's mask ratio leaves no grid at the size that was
 *   given, so that another one is used
 * @throws InputError as {@link measured}
 */
export function configured(
  options: TrainCommandOptions,
  base: TrainingConfig,
  say: (line: string) => void,
): TrainingConfig {
  const { model, optimizer, test } = base;
  const given = <T extends object>(usual: T, values: { [K in keyof T]?: T[K] | undefined }): T => {
    const own = Object.entries(values).filter(([, value]) => value !== undefined);
    return { ...usual, ...Object.fromEntries(own) };
  };
  return {
    ...given(base, {
      size: options.size,
      maskRatio: options.maskRatio ?? fittingRatio(options, base, say),
      masking: options.masking,
      loss: options.loss,
      normalizeTarget: options.normPixLoss,
      dropout: options.dropout,
      batch: options.batch,
      microBatch: options.microBatch,
      epochs: options.epochs,
      teacherEpochs: options.teacherEpochs ?? (options.resume ? undefined : teacherShare(options.epochs, base)),
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
