// Measures a model during training: on labelled test videos, and on the validation set without
// labels.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import type { FrameSource } from "../data/frame.js";
import { Detector } from "../detector/detector.js";
import { Evaluation, type EvaluationResult } from "../eval/evaluation.js";
import { recordVideo, type VideoRecord } from "../eval/record.js";
import type { Gpu } from "../gpu/gpu.js";
import type { ScoreRule } from "../model/presets.js";
import type { TestConfig, TrainingConfig } from "./config.js";
import type { ValidationScores } from "./selection.js";
import type { ValidationSet } from "./validation_set.js";

/** What measuring a model needs. */
export interface ModelMeasure {
  gpu: Gpu;
  checkpoint: Checkpoint;
  config: TrainingConfig;
  stage: 1 | 2;
  signal?: AbortSignal | undefined;
  /** Called after each frame. */
  onFrame?: (() => void) | undefined;
}

/**
 * Tests a model on a data set's labelled test videos, by frame-level metrics (docs/method.md §6).
 * @throws InputError if a video or its labels cannot be read, GpuError if the GPU fails, the
 * signal's reason
 */
export async function testModel(
  { gpu, checkpoint, config, stage, signal, onFrame }: ModelMeasure,
  { test: videos }: Pick<Dataset, "test">,
  way: Pick<TestConfig, "maskings" | "evaluation" | "score">,
): Promise<EvaluationResult> {
  const rule = stage === 1 ? "teacher" : way.score;
  const detector = await openDetector({ gpu, checkpoint, config }, rule);
  try {
    const evaluation = new Evaluation({ ...way.evaluation, rule });
    for (const { name, path, open, labels } of videos) {
      if (!labels) continue;
      const records = await recordMaskings(detector, open, way.maskings, { signal, onFrame });
      await evaluation.add({ name, path, open, labels }, records);
    }
    return evaluation.finish();
  } finally {
    detector.close();
  }
}

/**
 * The scores of a model on a validation set: one part per size of frames.
 * @param maskings random maskings per frame
 * @throws GpuError if the GPU fails, the signal's reason
 */
export async function scoreValidation(
  { gpu, checkpoint, config, signal, onFrame }: ModelMeasure,
  set: ValidationSet,
  maskings: number,
): Promise<ValidationScores[]> {
  // Token maps are kept, which do not depend on the rule.
  const rule = checkpoint.config.studentDepth > 0 ? "sum" : "teacher";
  const detector = await openDetector({ gpu, checkpoint, config }, rule);
  try {
    const parts: ValidationScores[] = [];
    for (const { source, windows } of set.sources()) {
      const records = await recordMaskings(detector, async () => source, maskings, { signal, onFrame });
      parts.push({ records, windows });
    }
    return parts;
  } finally {
    detector.close();
  }
}

/** The token maps of a video, once for each masking. */
async function recordMaskings(
  detector: Detector,
  open: () => Promise<FrameSource>,
  maskings: number,
  { signal, onFrame }: Pick<ModelMeasure, "signal" | "onFrame">,
): Promise<VideoRecord[]> {
  const records: VideoRecord[] = [];
  for (let seed = 0; seed < maskings; seed++) {
    detector.seed = seed;
    records.push(await recordVideo(detector, await open(), signal, onFrame));
  }
  return records;
}

function openDetector(
  { gpu, checkpoint, config }: Pick<ModelMeasure, "gpu" | "checkpoint" | "config">,
  rule: ScoreRule,
): Promise<Detector> {
  const { size, maskRatio, masking, test } = config;
  const { norm, maskedOnly } = test;
  // Tuning during a run could make a resumed run use other kernels.
  const settings = { dtype: "f32", size, maskRatio, masking, norm, maskedOnly, tune: false } as const;
  return Detector.open(checkpoint, { gpu, ...settings, score: rule, tokenMaps: true });
}
