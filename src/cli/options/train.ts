// The options of `train`, and how they, a preset and a checkpoint become one configuration.
import { InvalidArgumentError, Option } from "commander";
import type { PseudoAnomalyOptions } from "../../data/anomalies/pseudo_anomaly.js";
import { augmentationDefaults } from "../../data/augmentation.js";
import type { TestSplit } from "../../data/dataset.js";
import type { SceneAnomaly } from "../../data/scene/actors.js";
import { type SceneView, sceneViews } from "../../data/scene/stage.js";
import { scoringName } from "../../detector/frame_score.js";
import { gridMaskRatio } from "../../model/masking.js";
import type { TrainingConfig } from "../../train/config.js";
import { smallTraining, type TrainingPresetName, trainingPresets, trainingScene } from "../../train/presets.js";
import { table } from "../terminal/table.js";
import { adapterOption, robustOption } from "./device.js";
import { type MeasureOptions, measured, measureOptions } from "./measure.js";
import { type ModelOptions, modelOptions } from "./model.js";
import { anomalyNames, numberIn, wholeNumber } from "./parse.js";
import { pseudoOf, pseudoOptions } from "./pseudo_anomalies.js";
import { splitOption } from "./split.js";

type OptionValues = Omit<ModelOptions, "preset"> & MeasureOptions & Partial<PseudoAnomalyOptions>;

/** The options of `train`. One that was not given and has no default is absent. */
export interface TrainCommandOptions extends OptionValues {
  dataset?: TrainingPresetName;
  root?: string;
  labels?: string;
  split: TestSplit;
  out: string;
  small?: boolean;
  resume?: boolean;
  init?: string;
  // The network and how it is trained.
  patch?: number;
  width?: number;
  decoderWidth?: number;
  depth?: number;
  decoderDepth?: number;
  heads?: number;
  mlpRatio?: number;
  loss?: TrainingConfig["loss"];
  lossFloor?: number;
  normPixLoss?: boolean;
  dropout?: number;
  batch?: number;
  microBatch?: number;
  epochSamples?: number;
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
  augment?: number;
  augmentLight?: number;
  augmentNoise?: number;
  augmentShake?: number;
  precision?: TrainingConfig["precision"];
  seed?: number;
  select?: TrainingConfig["validation"]["select"];
  validationShare?: number;
  testEvery?: number;
  sceneSeeds: number[];
  sceneTestSeeds: number[];
  sceneVideos: number;
  sceneTestVideos: number;
  sceneAnomalies: SceneAnomaly[];
  sceneFrames: number;
  sceneFps: number;
  sceneView: SceneView;
  // The run.
  saveEvery: number;
  memory?: number;
  frameMemory?: number;
  adapter?: string;
  robust?: boolean;
  quiet?: boolean;
}

/** The options behind {@link TrainCommandOptions}, in groups, without those that name files. */
export function trainOptions(): Option[] {
  const groups: [heading: string, options: Option[]][] = [
    ["Network", networkOptions()],
    ["Learning", learningOptions()],
    ["Abnormal samples", anomalyOptions()],
    ["Look of the samples", augmentationOptions()],
    ["Validation and tests", [...testOptions(), ...measureOptions("preset")]],
    ["Drawn streets (--dataset scene)", sceneOptions()],
    ["Run", runOptions()],
  ];
  return groups.flatMap(([heading, options]) => options.map((option) => option.helpGroup(`${heading}:`)));
}

/** The presets as a table, for `--help`. */
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
  const rows = Object.entries(namedSettings).map(([name, config]) => {
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
      scoringName(test.evaluation),
    ];
  });
  const lines = [
    "",
    "Presets (widths and depths of encoder + decoder, epochs of teacher + student):",
    ...table(head, rows),
  ];
  return lines.join("\n");
}

/** The presets, and `--small`, for videos of 240x360 pixels. */
const namedSettings = {
  ...trainingPresets,
  "--small": smallTraining(trainingPresets.folder, { height: 240, width: 360 }),
};

/** The option that sets each size of {@link TrainingConfig.model}. */
const networkNames: Readonly<Partial<Record<keyof TrainingConfig["model"], string>>> = {
  patch: "--patch",
  encoderWidth: "--width",
  decoderWidth: "--decoder-width",
  encoderDepth: "--depth",
  decoderDepth: "--decoder-depth",
  heads: "--heads",
  mlpRatio: "--mlp-ratio",
};

/** The option that sets a size of the network, else the name of the size. */
export function networkOption(name: string): string {
  return networkNames[name as keyof typeof networkNames] ?? name;
}

/** Options that have no effect with some others, in groups. */
export function dependentOptions() {
  const [learning, tests] = [learningOptions(), testOptions()];
  const named = (options: Option[], ...names: string[]) =>
    options.filter((option) => names.includes(option.attributeName()));
  return {
    scene: sceneOptions(),
    split: [testedOption()],
    abnormal: shareOptions(),
    pseudo: trainPseudoOptions(),
    student: [...named(learning, "teacher"), ...named(tests, "score")],
    validation: named(tests, "validationShare"),
    measure: [...named(tests, "score"), ...measureOptions("preset")],
    look: named(augmentationOptions(), "augmentLight", "augmentNoise", "augmentShake"),
  };
}

function networkOptions(): Option[] {
  const names = ["size", "maskRatio", "masking"];
  const shared = modelOptions("preset").filter((option) => names.includes(option.attributeName()));
  return [
    ...shared,
    new Option("--patch <pixels>", "side of a patch").argParser(wholeNumber(4, 64)),
    new Option("--width <n>", "width of the encoder").argParser(wholeNumber(4, 4096)),
    new Option("--decoder-width <n>", "width of the decoder").argParser(wholeNumber(4, 4096)),
    new Option("--depth <n>", "blocks of the encoder").argParser(wholeNumber(1, 64)),
    new Option("--decoder-depth <n>", "blocks of the decoder").argParser(wholeNumber(1, 64)),
    new Option("--heads <n>", "attention heads of a block").argParser(wholeNumber(1, 64)),
    new Option("--mlp-ratio <n>", "hidden width of an MLP, relative to the block's width").argParser(
      wholeNumber(1, 16),
    ),
    new Option("--dropout <rate>", "dropout in MLPs, from 0 to 0.99").argParser(numberIn(0, 0.99)),
  ];
}

function learningOptions(): Option[] {
  return [
    new Option("--epochs <n>", "epochs of both stages together").argParser(wholeNumber(1, 1_000_000)),
    new Option(
      "--teacher-epochs <n>",
      "epochs of stage 1, the teacher's; if equal to --epochs, no student is trained (default: the preset's share of --epochs)",
    ).argParser(wholeNumber(0, 1_000_000)),
    new Option(
      "--epoch-samples <n>",
      "samples of an epoch, drawn from all, again and again if there are fewer (default: all, once)",
    ).argParser(wholeNumber(1, 1e9)),
    new Option("--batch <n>", "samples per step of the optimiser").argParser(wholeNumber(1, 100_000)),
    new Option(
      "--micro-batch <n>",
      "samples computed together; their gradients are added up (default: as many as --memory allows)",
    ).argParser(wholeNumber(1, 100_000)),
    new Option("--lr <rate>", "learning rate").argParser(numberIn(1e-12, 10)),
    new Option("--schedule <kind>", "learning rate over a stage").choices(["constant", "cosine"]),
    new Option("--warmup <epochs>", "epochs in which the learning rate rises, at the start of a stage").argParser(
      numberIn(0, 1e6),
    ),
    new Option("--betas <b1,b2>", "betas of AdamW").argParser(twoNumbers),
    new Option("--eps <e>", "epsilon of AdamW").argParser(numberIn(1e-30, 1)),
    new Option("--weight-decay <d>", "weight decay of AdamW, for tensors with more than one dimension").argParser(
      numberIn(0, 10),
    ),
    new Option(
      "--teacher <which>",
      "the teacher that the student learns from: the one that tested best, or the last",
    ).choices(["best", "latest"]),
    new Option(
      "--loss <kind>",
      "loss of stage 1: errors weighted by motion, or the mean error over removed tokens",
    ).choices(["gradient-weighted", "masked"]),
    new Option(
      "--loss-floor <levels>",
      "gradient-weighted loss: least weight of a token, in grey levels; above 0, what does not move counts too",
    ).argParser(numberIn(0, 255)),
    new Option("--norm-pix-loss", "normalise the targets of stage 1 by their token's mean and variance"),
    new Option("--no-norm-pix-loss", "leave the targets of stage 1 as they are"),
    new Option(
      "--precision <kind>",
      "mixed stores activations as float16 and weights as float32; needs an adapter with float16 (shader-f16)",
    ).choices(["float32", "mixed"]),
    new Option("--seed <n>", "seed of weights, order, masks, dropout and anomalies").argParser(wholeNumber(0)),
    new Option(
      "--init <file>",
      "start from the weights of a checkpoint with the same sizes, or none: from fresh weights (default: none; with --small, models/scene.safetensors)",
    ),
  ];
}

function anomalyOptions(): Option[] {
  return [
    new Option(
      "--anomalies <from>",
      "source of abnormal samples: the training videos, train/frames_abnormal, or none (default: files if there are any, else pseudo)",
    ).choices(["pseudo", "files", "none"]),
    ...shareOptions(),
    ...trainPseudoOptions(),
  ];
}

function shareOptions(): Option[] {
  return [
    new Option(
      "--anomaly-share <p>",
      `probability that a sample is abnormal${defaultsOf((config) => config.anomalyShare)}`,
    ).argParser(numberIn(0, 1)),
    new Option(
      "--mask-growth <pixels>",
      `grow the masks of anomalies by this many input pixels${defaultsOf((config) => config.maskGrowth)}`,
    ).argParser(wholeNumber(0, 100)),
  ];
}

/** The default of a setting, with those of presets that have another one. */
function defaultsOf(read: (config: TrainingConfig) => number): string {
  const usual = read(trainingPresets.folder);
  const others = Object.entries(namedSettings).flatMap(([name, config]) =>
    read(config) === usual ? [] : [`${name}: ${read(config)}`],
  );
  return ` (default: ${[usual, ...others].join("; ")})`;
}

function trainPseudoOptions(): Option[] {
  return pseudoOptions(Object.fromEntries(Object.entries(namedSettings).map(([name, { pseudo }]) => [name, pseudo])));
}

function augmentationOptions(): Option[] {
  const { light, noise, shake } = augmentationDefaults;
  return [
    new Option(
      "--augment <share>",
      `share of the samples whose look changes, as by light, night, noise or a shaking camera${defaultsOf((config) => config.augmentation.share)}`,
    ).argParser(numberIn(0, 1)),
    new Option("--augment-light <share>", `largest change of light (default: ${light})`).argParser(numberIn(0, 1)),
    new Option("--augment-noise <levels>", `strongest noise, in grey levels (default: ${noise})`).argParser(
      numberIn(0, 255),
    ),
    new Option("--augment-shake <pixels>", `farthest shaking, in input pixels (default: ${shake})`).argParser(
      wholeNumber(0, 100),
    ),
  ];
}

function testOptions(): Option[] {
  const names = ["norm", "score", "maskedOnly"];
  const shared = modelOptions("preset").filter((option) => names.includes(option.attributeName()));
  return [
    new Option(
      "--select <by>",
      "choose the epoch and the way of scoring by pseudo-anomalies in training clips that are kept apart, or, as papers do, by the labels of the test videos (default: validation)",
    ).choices(["validation", "labels"]),
    new Option("--validation-share <p>", "share of the training clips that is kept apart (default: 0.2)").argParser(
      numberIn(0.01, 0.5),
    ),
    new Option("--test-every <epochs>", "epochs between validations and tests").argParser(wholeNumber(1, 1_000_000)),
    testedOption(),
    ...shared,
  ];
}

const testedOption = () => splitOption("test the epochs on these videos, and choose by them with --select labels");

function sceneOptions(): Option[] {
  const { trainSeedRange, testSeedRange, train, test, frames, fps, view, anomalies } = trainingScene;
  const seeds = ([from, to]: readonly [number, number]) => [range(from, to), `${from}-${to}`] as const;
  return [
    new Option("--scene-seeds <from-to>", "seeds of the streets to learn from")
      .default(...seeds(trainSeedRange))
      .argParser(seedRange),
    new Option("--scene-test-seeds <from-to>", "seeds of the streets to test on")
      .default(...seeds(testSeedRange))
      .argParser(seedRange),
    new Option("--scene-videos <n>", "training videos per street").default(train).argParser(wholeNumber(1, 1000)),
    new Option("--scene-test-videos <n>", "test videos per street").default(test).argParser(wholeNumber(1, 1000)),
    new Option("--scene-anomalies <names>", "what happens in the test videos")
      .default([...anomalies], anomalies.join(","))
      .argParser(anomalyNames),
    new Option("--scene-frames <n>", "frames per video").default(frames).argParser(wholeNumber(8, 100_000)),
    new Option("--scene-fps <n>", "frames per second").default(fps).argParser(numberIn(1, 1000)),
    new Option("--scene-view <name>", "camera far from or close to the people").choices(sceneViews).default(view),
  ];
}

function runOptions(): Option[] {
  return [
    new Option("--save-every <seconds>", "seconds between checkpoints within an epoch; give it again with --resume")
      .default(300)
      .argParser(numberIn(0.1, 1e6)),
    new Option("--memory <MiB>", "GPU memory for what a step computes (default: 4096, 1024 without a GPU)").argParser(
      wholeNumber(16, 1e6),
    ),
    new Option("--frame-memory <MiB>", "GPU memory for frames (default: 8192, 1024 without a GPU)").argParser(
      wholeNumber(1, 1e6),
    ),
    adapterOption(),
    robustOption(),
    new Option("-q, --quiet", "no progress"),
  ];
}

function twoNumbers(text: string): [number, number] {
  const values = text.split(",").map(Number);
  if (values.length !== 2 || values.some((value) => !(value >= 0 && value < 1))) {
    throw new InvalidArgumentError("Give two numbers from 0 to below 1, such as 0.9,0.95.");
  }
  return values as [number, number];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function seedRange(text: string): number[] {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (!match || to < from || to - from > 10_000) throw new InvalidArgumentError("Give a range of seeds, such as 1-24.");
  return range(from, to);
}

/**
 * Epochs of stage 1 if only --epochs is given: the configuration's share of them, and at least one
 * for each stage that it has.
 */
function teacherShare(epochs: number | undefined, base: TrainingConfig): number | undefined {
  if (epochs === undefined) return undefined;
  const share = Math.round((epochs * base.teacherEpochs) / base.epochs);
  if (base.teacherEpochs === 0 || base.teacherEpochs === base.epochs) return share;
  return Math.min(Math.max(1, share), Math.max(1, epochs - 1));
}

/** The same if a run is made longer: a run of the teacher alone stays one. */
function longerTeacher(epochs: number | undefined, base: TrainingConfig): number | undefined {
  return base.teacherEpochs === base.epochs ? epochs : undefined;
}

/**
 * A configuration, with the given options in place of its values.
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
      maskRatio:
        options.maskRatio ??
        gridMaskRatio(options.size ?? base.size, options.patch ?? model.patch, base.maskRatio, say),
      masking: options.masking,
      loss: options.loss,
      lossFloor: options.lossFloor,
      normalizeTarget: options.normPixLoss,
      dropout: options.dropout,
      batch: options.batch,
      microBatch: options.microBatch,
      epochSamples: options.epochSamples,
      epochs: options.epochs,
      teacherEpochs:
        options.teacherEpochs ??
        (options.resume && !options.small ? longerTeacher : teacherShare)(options.epochs, base),
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
    augmentation: given(base.augmentation, {
      share: options.augment,
      light: options.augmentLight,
      noise: options.augmentNoise,
      shake: options.augmentShake,
    }),
    validation: given(base.validation, { select: options.select, share: options.validationShare }),
    test: {
      ...given(test, {
        every: options.testEvery,
        norm: options.norm,
        score: options.score,
        maskedOnly: options.maskedOnly,
        maskings: options.maskings,
      }),
      evaluation: measured(
        { ...options, tokens: options.tokens ?? (options.maskedOnly ? "removed" : undefined) },
        test.evaluation,
      ),
    },
  };
}
