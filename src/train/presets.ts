// The training settings of each data set.
import { pseudoAnomalyDefaults } from "../data/anomalies/pseudo_anomaly.js";
import type { SceneCollectionOptions } from "../data/scene/dataset.js";
import { benchmarks } from "../eval/benchmarks.js";
import { paperEvaluation } from "../eval/evaluation.js";
import { paperConfig } from "../model/config.js";
import { gridMaskRatio } from "../model/masking.js";
import type { Size } from "../ops/resize.js";
import { paperTraining, paperTrainingOf, type TrainingConfig } from "./config.js";

const { avenue, shanghai } = benchmarks;

/**
 * Ped2 is small and gray: it takes fewer samples per step and a higher learning rate, and is scored
 * by where something moves and is predicted to be abnormal.
 */
const ped2: TrainingConfig = {
  ...paperTraining,
  size: { height: 256, width: 384 },
  batch: 16,
  epochs: 30,
  teacherEpochs: 20,
  optimizer: { ...paperTraining.optimizer, learningRate: 4e-4 },
  pseudo: { ...pseudoAnomalyDefaults, objects: 3 },
  test: {
    ...paperTraining.test,
    evaluation: {
      ...paperEvaluation,
      ...{ scoring: "moving-anomaly", tokens: "visible", smoothing: { kind: "gaussian", sigma: 5 } },
    },
  },
};

/**
 * Procedurally drawn streets, with a model small enough to train without a GPU
 * (docs/experiments.md). Few tokens and small batches give many steps. The decoder is deep, because
 * there neighbouring tokens are neighbours in the image. Few tokens are removed, anomaly masks
 * grow, samples show several pseudo-anomalies, and these move about as fast as real ones. Frames
 * are scored by the teacher's map, so no student is trained.
 */
const scene: TrainingConfig = {
  ...paperTraining,
  model: { ...paperConfig, patch: 16, encoderWidth: 128, encoderDepth: 1, decoderWidth: 128, decoderDepth: 4 },
  size: { height: 128, width: 192 },
  maskRatio: 0.11,
  dropout: 0,
  batch: 8,
  epochSamples: 4200,
  epochs: 16,
  teacherEpochs: 16,
  optimizer: { ...paperTraining.optimizer, learningRate: 2e-3 },
  schedule: "cosine",
  warmup: 0.3,
  anomalyShare: 0.75,
  pseudo: {
    ...pseudoAnomalyDefaults,
    ...{ speedup: 0.25, pieces: 0.45, objects: 3, speed: [2, 4], pieceSize: [0.07, 0.35], scale: [0.25, 2] },
    shift: [0.13, 0.4],
  },
  maskGrowth: 4,
  seed: 1,
  test: {
    ...paperTraining.test,
    every: 8,
    evaluation: {
      ...paperEvaluation,
      ...{ scoring: "top-anomaly", topK: 3, smoothing: { kind: "gaussian", sigma: 2 } },
    },
  },
};

/**
 * Training settings by layout of the data set. Avenue and ShanghaiTech have the original's
 * (docs/method.md §1, §3, §6); layouts without any have those of Avenue.
 */
export const trainingPresets = {
  avenue: withEvaluation(paperTrainingOf("avenue"), avenue),
  shanghai: withEvaluation(paperTrainingOf("shanghai"), shanghai),
  ubnormal: paperTraining,
  ped1: paperTraining,
  ped2,
  folder: paperTraining,
  scene,
} as const satisfies Record<string, TrainingConfig>;

/** Name of a training preset. */
export type TrainingPresetName = keyof typeof trainingPresets;

function withEvaluation(
  config: TrainingConfig,
  { smoothing, normalize }: Pick<typeof avenue | typeof shanghai, "smoothing" | "normalize">,
): TrainingConfig {
  return { ...config, test: { ...config.test, evaluation: { ...config.test.evaluation, smoothing, normalize } } };
}

/** Pixels of the small network's input, about, and the patch that divides its sides. */
const smallPixels = 128 * 192;
const smallPatch = 16;

/**
 * Settings that train on two CPU cores in less than an hour, whatever the videos are: a network of
 * 1.4 M parameters at about 128x192 pixels, and all kinds of pseudo-anomalies. The learning rate is
 * for a start from the weights of `models/scene.safetensors`; fresh ones need a higher one.
 * @param base the layout's preset
 * @param video size of the videos, whose aspect ratio the input gets about
 */
export function smallTraining(base: TrainingConfig, video: Size): TrainingConfig {
  const size = smallSize(video);
  return {
    ...base,
    model: { ...scene.model, patch: smallPatch },
    size,
    maskRatio: gridMaskRatio(size, smallPatch, 0.1),
    masking: "random",
    dropout: 0,
    batch: 8,
    epochSamples: 2048,
    epochs: 12,
    teacherEpochs: 12,
    optimizer: { ...base.optimizer, learningRate: 7e-4 },
    schedule: "cosine",
    warmup: 0.3,
    anomalyShare: 0.75,
    pseudo: {
      ...pseudoAnomalyDefaults,
      ...{ speedup: 0.25, drawn: 0.15, pieces: 0.3, frozen: 0.15, objects: 3, speed: [2, 4], scale: [0.8, 2.2] },
      ...{ walk: [1.7, 5], rotation: 12, gain: [0.75, 1.3], bias: 25 },
    },
    augmentation: { ...base.augmentation, share: 0.3 },
    maskGrowth: 6,
    test: { ...base.test, every: 4 },
  };
}

/** The size nearest to an aspect ratio with about {@link smallPixels} pixels, in whole patches. */
function smallSize({ height, width }: Size): Size {
  const whole = (pixels: number) => smallPatch * Math.max(2, Math.round(pixels / smallPatch));
  const rows = whole(Math.sqrt((smallPixels * height) / width));
  // A very wide video is squeezed.
  return { height: rows, width: whole(Math.min((rows * width) / height, (2 * smallPixels) / rows)) };
}

/**
 * The drawn streets that the preset `scene` trains on. Their anomalies are those that three frames
 * can show: somebody who stands still, or walks the wrong way, moves like others.
 */
export const trainingScene = {
  fps: 10,
  view: "close",
  /** Frames per video. */
  frames: 70,
  /** First and last seed of the streets to learn from, and videos of each. */
  trainSeedRange: [1, 120],
  train: 1,
  /** The same for the tests during training. */
  testSeedRange: [1001, 1003],
  test: 4,
  anomalies: ["runner", "bicycle", "cart", "thrown-object"],
} as const satisfies Partial<SceneCollectionOptions> &
  Record<`${"train" | "test"}SeedRange`, readonly [number, number]>;
