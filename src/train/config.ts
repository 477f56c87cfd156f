// The settings of training, their checks, and the original's values.
import { mostObjects, type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../data/anomalies/pseudo_anomaly.js";
import { type AugmentationOptions, augmentationDefaults } from "../data/augmentation.js";
import { InputError } from "../errors.js";
import { type EvaluationSettings, paperEvaluation } from "../eval/evaluation.js";
import { checkConfig, paperConfig, type SdMaeConfig } from "../model/config.js";
import { type MaskingMethod, tokenGrid } from "../model/masking.js";
import { type PresetName, presets, type ScoreRule } from "../model/presets.js";
import type { Size } from "../ops/resize.js";
import type { Norm } from "../ops/token_errors.js";
import { type AdamWSettings, paperAdamW } from "./adamw.js";

/** How a model is trained: all that its bits depend on, besides the data and the adapter. */
export interface TrainingConfig {
  /** Sizes of the network. */
  model: SdMaeConfig;
  /** The network's input size in pixels. */
  size: Size;
  /** Share of the tokens that is removed, from 0 to below 1. */
  maskRatio: number;
  masking: MaskingMethod;
  /**
   * The loss of stage 1 (docs/method.md §3): tokens weighted by their motion (the original's
   * default), or the mean over removed tokens.
   */
  loss: "gradient-weighted" | "masked";
  /**
   * The least weight of a token in the gradient-weighted loss, in grey levels from 0 to 255. At 0,
   * the original's, what does not move teaches nothing, such as that a change of light is normal.
   */
  lossFloor: number;
  /** Stage 1: targets are normalised by their token's mean and variance (`norm_pix_loss`). */
  normalizeTarget: boolean;
  /** Dropout rate in MLPs. */
  dropout: number;
  /** Samples per optimiser step. */
  batch: number;
  /**
   * Samples that are computed together, a divisor of {@link batch}; gradients are summed over
   * micro-batches. BatchNorm's statistics are those of a micro-batch. 0: as many as memory allows.
   */
  microBatch: number;
  /** Samples of an epoch, drawn from all, some more than once if there are fewer; 0: all once. */
  epochSamples: number;
  /** Epochs of both stages. */
  epochs: number;
  /** Epochs of stage 1, in which the teacher learns. In the rest, stage 2, the student learns. */
  teacherEpochs: number;
  /** The teacher of stage 2: the one that was best when tested, or the last one. */
  teacher: "best" | "latest";
  optimizer: AdamWSettings;
  /** The learning rate over a stage: constant as in the original, or half a cosine down to 0. */
  schedule: "constant" | "cosine";
  /** Epochs at the start of a stage over which the learning rate rises. */
  warmup: number;
  /**
   * Where abnormal samples come from: pseudo-anomalies from the training videos, the data set's
   * frames_abnormal, or nowhere.
   */
  anomalies: "pseudo" | "files" | "none";
  /** Probability that a sample is abnormal. */
  anomalyShare: number;
  pseudo: PseudoAnomalyOptions;
  /**
   * Pixels, at the input size, by which anomaly masks grow, so that small anomalies are learned
   * sooner. 0 in the original.
   */
  maskGrowth: number;
  /** How samples change their look; not at all in the original. */
  augmentation: AugmentationOptions;
  /** `mixed`: float16 activations and float32 weights. */
  precision: "float32" | "mixed";
  seed: number;
  validation: ValidationConfig;
  test: TestConfig;
}

/** How epochs and the way of scoring are chosen. */
export interface ValidationConfig {
  /**
   * By pseudo-anomalies in training clips that are kept apart, or by the labels of test videos, as
   * papers do.
   */
  select: "validation" | "labels";
  /** Share of the training clips that is kept apart, above 0 and at most 0.5. */
  share: number;
}

/** How the model is tested during training. */
export interface TestConfig {
  /** Epochs between tests; the last epoch of a stage is always tested. */
  every: number;
  norm: Norm;
  /** The errors that make a score in stage 2; in stage 1 it is the teacher's error alone. */
  score: ScoreRule;
  maskedOnly: boolean;
  /** Random maskings per frame, whose scores are averaged. */
  maskings: number;
  evaluation: EvaluationSettings;
}

/** The original's settings for Avenue (docs/method.md §1 to §3). */
export const paperTraining: TrainingConfig = {
  model: paperConfig,
  size: presets.avenue.size,
  maskRatio: presets.avenue.maskRatio,
  masking: presets.avenue.masking,
  loss: "gradient-weighted",
  lossFloor: 0,
  normalizeTarget: false,
  dropout: 0.1,
  batch: 100,
  microBatch: 0,
  epochSamples: 0,
  epochs: 200,
  teacherEpochs: 100,
  teacher: "best",
  optimizer: paperAdamW,
  schedule: "constant",
  warmup: 0,
  anomalies: "pseudo",
  anomalyShare: 0.25,
  pseudo: pseudoAnomalyDefaults,
  maskGrowth: 0,
  augmentation: augmentationDefaults,
  precision: "float32",
  seed: 0,
  validation: { select: "validation", share: 0.2 },
  test: {
    every: 1,
    norm: presets.avenue.norm,
    score: presets.avenue.score,
    maskedOnly: presets.avenue.maskedOnly,
    maskings: 1,
    evaluation: paperEvaluation,
  },
};

/** The original's settings for one of its data sets. */
export function paperTrainingOf(name: PresetName): TrainingConfig {
  const { size, patch, maskRatio, masking, norm, score, maskedOnly } = presets[name];
  return {
    ...paperTraining,
    ...{ model: { ...paperConfig, patch }, size, maskRatio, masking },
    test: { ...paperTraining.test, norm, score, maskedOnly },
  };
}

/**
 * Checks a configuration.
 * @throws InputError if a setting is out of range, or settings contradict each other
 */
export function checkTrainingConfig(config: TrainingConfig): void {
  checkRanges(config);
  checkOptimizer(config.optimizer);
  const { model, batch, microBatch, epochs, teacherEpochs } = config;
  if (microBatch > 0 && batch % microBatch !== 0) {
    throw new InputError(`training: a micro-batch of ${microBatch} does not divide the batch of ${batch}`);
  }
  if (teacherEpochs > epochs) {
    throw new InputError(
      `training: teacher epochs ${teacherEpochs} (stage 1) are more than epochs ${epochs} (of both stages)`,
    );
  }
  if (teacherEpochs < epochs && model.studentDepth === 0) {
    throw new InputError("training: stage 2 needs a student, which this network does not have");
  }
  checkConfig(model);
  const { keep, tokens } = tokenGrid(config.size, model.patch, config.maskRatio);
  const testsRemoved = config.test.maskedOnly || config.test.evaluation.tokens === "removed";
  if (keep === tokens && (config.loss === "masked" || teacherEpochs < epochs || testsRemoved)) {
    const which = config.loss === "masked" ? 'the loss "masked"' : teacherEpochs < epochs ? "stage 2" : "the test";
    throw new InputError(`training: ${which} is over removed tokens, and mask ratio ${config.maskRatio} removes none`);
  }
}

function checkRanges(config: TrainingConfig): void {
  const { batch, microBatch, epochs, teacherEpochs, pseudo, test } = config;
  const whole: [name: string, value: number, least: number][] = [
    ["batch", batch, 1],
    ["micro-batch", microBatch, 0],
    ["samples of an epoch", config.epochSamples, 0],
    ["epochs", epochs, 1],
    ["epochs of stage 1", teacherEpochs, 0],
    ["epochs between tests", test.every, 1],
    ["maskings", test.maskings, 1],
    ["mask growth", config.maskGrowth, 0],
    ["seed", config.seed, 0],
    ["objects per sample", pseudo.objects, 1],
  ];
  for (const [name, value, least] of whole) {
    if (!Number.isInteger(value) || value < least || value > 0xffffffff) {
      throw new InputError(`training: ${name} ${value} is not a whole number from ${least}`);
    }
  }
  const shares = {
    dropout: config.dropout,
    "share of abnormal samples": config.anomalyShare,
    "share of speed-ups": pseudo.speedup,
    "share of drawn objects": pseudo.drawn,
    "share of pieces": pseudo.pieces,
    "share of speed-ups, drawn objects and pieces": pseudo.speedup + pseudo.drawn + pseudo.pieces,
    "share of frozen cut-outs": pseudo.frozen,
    "share of decoys": pseudo.decoys,
    "share of samples that change": config.augmentation.share,
    "change of light": config.augmentation.light,
  };
  for (const [name, value] of Object.entries(shares)) {
    if (!(value >= 0 && value <= 1)) throw new InputError(`training: ${name} ${value} is not between 0 and 1`);
  }
  if (pseudo.objects > mostObjects) throw new InputError(`training: ${pseudo.objects} objects per sample are too many`);
  if (!(config.lossFloor >= 0 && config.lossFloor <= 255)) {
    throw new InputError(`training: the least weight ${config.lossFloor} is not from 0 to 255`);
  }
  const { noise, shake } = config.augmentation;
  if (!(noise >= 0 && noise <= 255)) throw new InputError(`training: noise ${noise} is not from 0 to 255`);
  if (!Number.isInteger(shake) || shake < 0 || shake > 100) {
    throw new InputError(`training: shaking by ${shake} pixels is not a whole number from 0 to 100`);
  }
  const { share } = config.validation;
  if (!(share > 0 && share <= 0.5)) {
    throw new InputError(`training: the share of clips kept apart, ${share}, is not above 0 and at most 0.5`);
  }
  if (config.dropout === 1) throw new InputError("training: dropout 1 leaves nothing");
  if (!(config.warmup >= 0))
    throw new InputError(`training: warm-up of ${config.warmup} epochs is not a number from 0`);
}

function checkOptimizer({ learningRate, betas, epsilon, weightDecay }: AdamWSettings): void {
  const positive = { "learning rate": learningRate, epsilon };
  for (const [name, value] of Object.entries(positive)) {
    if (!(value > 0 && value < Number.POSITIVE_INFINITY)) {
      throw new InputError(`training: ${name} ${value} is not above 0`);
    }
  }
  if (betas.some((beta) => !(beta >= 0 && beta < 1))) {
    throw new InputError(`training: betas ${betas.join(" and ")} are not two numbers from 0 to below 1`);
  }
  if (!(weightDecay >= 0)) throw new InputError(`training: weight decay ${weightDecay} is below 0`);
}

/**
 * Reads a configuration from parsed JSON, which is not trusted.
 * @param name where it comes from, for messages
 * @throws InputError if something is missing, of another type or out of range
 */
export function parseTrainingConfig(json: unknown, name: string): TrainingConfig {
  const parsed = asLike(json, paperTraining, `${name}: its training settings`) as TrainingConfig;
  const choices: [unknown, readonly string[]][] = [
    [parsed.masking, ["random", "gradient"]],
    [parsed.loss, ["gradient-weighted", "masked"]],
    [parsed.teacher, ["best", "latest"]],
    [parsed.schedule, ["constant", "cosine"]],
    [parsed.anomalies, ["pseudo", "files", "none"]],
    [parsed.precision, ["float32", "mixed"]],
    [parsed.validation.select, ["validation", "labels"]],
  ];
  for (const [value, allowed] of choices) {
    if (!allowed.includes(value as string)) {
      throw new InputError(`${name}: its training settings have "${value}", not one of ${allowed.join(", ")}`);
    }
  }
  checkTrainingConfig(parsed);
  return parsed;
}

/**
 * A copy of `json` that has the keys and types of an example.
 * @throws InputError if a key is missing or a type differs
 */
function asLike(json: unknown, example: unknown, where: string): unknown {
  if (Array.isArray(example)) {
    if (!Array.isArray(json) || json.length !== example.length)
      throw new InputError(`${where} is not a list of ${example.length}`);
    return example.map((one, i) => asLike(json[i], one, where));
  }
  if (typeof example === "object" && example !== null) {
    // Each kind of smoothing has its own fields. They are checked when scores are smoothed.
    if (where.endsWith("smoothing") && typeof json === "object" && json !== null) return { ...json };
    if (typeof json !== "object" || json === null) throw new InputError(`${where} are missing`);
    return Object.fromEntries(
      Object.entries(example).map(([key, one]) => {
        if (!Object.hasOwn(json, key)) throw new InputError(`${where} have no ${key}`);
        return [key, asLike((json as Record<string, unknown>)[key], one, `${where}: ${key}`)];
      }),
    );
  }
  if (typeof json !== typeof example || (typeof json === "number" && !Number.isFinite(json))) {
    throw new InputError(`${where} is ${JSON.stringify(json)}, not a ${typeof example}`);
  }
  return json;
}
