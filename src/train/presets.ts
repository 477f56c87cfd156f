import { pseudoAnomalyDefaults } from "../data/pseudo_anomaly.js";
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

/** The procedural street's, small enough to be trained without a GPU. */
const scene: TrainingConfig = {
  ...paperTraining,
  model: { ...paperConfig, patch: 8, encoderWidth: 128, decoderWidth: 64 },
  size: { height: 96, width: 144 },
  batch: 16,
  epochs: 30,
  teacherEpochs: 24,
  optimizer: { ...paperTraining.optimizer, learningRate: 1e-3 },
  schedule: "cosine",
  warmup: 0.5,
  anomalyShare: 0.5,
  pseudo: pseudoAnomalyDefaults,
  seed: 1,
  test: {
    ...paperTraining.test,
    evaluation: {
      ...paperEvaluation,
      ...{ scoring: "anomaly-map", smoothing: { kind: "gaussian", sigma: 2 } },
    },
  },
};

/** How each data set is trained on, by its layout; the original's settings for its own (METHOD §1, §3, §6), those of Avenue where it has none. */
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
