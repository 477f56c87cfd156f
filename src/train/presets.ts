import { pseudoAnomalyDefaults } from "../data/anomalies/pseudo_anomaly.js";
import type { SceneCollectionOptions } from "../data/scene/dataset.js";
import { benchmarks } from "../eval/benchmarks.js";
import { paperEvaluation } from "../eval/evaluation.js";
import { paperConfig } from "../model/config.js";
import { paperTraining, paperTrainingOf, type TrainingConfig } from "./config.js";

const { avenue, shanghai } = benchmarks;

/** Ped2 is small and gray: fewer samples a step, a higher learning rate, and scores by where something abnormal is predicted and moves. */
const ped2: TrainingConfig = {
  ...paperTraining,
  size: { height: 256, width: 384 },
  batch: 16,
  epochs: 30,
  teacherEpochs: 20,
  optimizer: { ...paperTraining.optimizer, learningRate: 4e-4 },
  test: {
    ...paperTraining.test,
    evaluation: {
      ...paperEvaluation,
      ...{ scoring: "moving-anomaly", tokens: "visible", smoothing: { kind: "gaussian", sigma: 5 } },
    },
  },
};

/**
 * The drawn street's, small enough to be trained without a GPU (docs/training.md): few tokens and small batches, so that there are many steps;
 * depth where neighbours are neighbours, in the decoder; few tokens removed; what is abnormal grown, and about as fast as what will be.
 */
const scene: TrainingConfig = {
  ...paperTraining,
  model: { ...paperConfig, patch: 16, encoderWidth: 128, encoderDepth: 1, decoderWidth: 128, decoderDepth: 4 },
  size: { height: 96, width: 144 },
  maskRatio: 0.11,
  dropout: 0,
  batch: 8,
  epochs: 24,
  teacherEpochs: 22,
  optimizer: { ...paperTraining.optimizer, learningRate: 2e-3 },
  schedule: "cosine",
  warmup: 0.3,
  anomalyShare: 0.75,
  pseudo: { ...pseudoAnomalyDefaults, speedup: 0.35, pieces: 0.3, speed: [2, 4], scale: [0.25, 2], shift: [0.13, 0.4] },
  maskGrowth: 4,
  seed: 1,
  test: {
    ...paperTraining.test,
    every: 2,
    evaluation: {
      ...paperEvaluation,
      ...{ scoring: "top-anomaly", topK: 3, smoothing: { kind: "gaussian", sigma: 2 } },
    },
  },
};

/** How each data set is trained on, by its layout; the original's settings for its own (docs/method.md §1, §3, §6), those of Avenue where it has none. */
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

/**
 * The drawn streets that the preset `scene` is for. Of what can happen there, these are the ones that three frames can tell: somebody who stands, or
 * walks the wrong way, moves as others do.
 */
export const trainingScene = {
  fps: 10,
  view: "close",
  /** Of a video. */
  frames: 70,
  /** Streets to learn from, by the first and the last seed, and videos of each. */
  trainSeedRange: [1, 72],
  train: 1,
  /** Streets to be tested on while training runs. */
  testSeedRange: [1001, 1003],
  test: 4,
  anomalies: ["runner", "bicycle", "cart", "thrown-object"],
} as const satisfies Partial<SceneCollectionOptions> &
  Record<`${"train" | "test"}SeedRange`, readonly [number, number]>;
