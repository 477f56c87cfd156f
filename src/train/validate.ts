// The test of a model during training.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import { Detector } from "../detector/detector.js";
import { Evaluation, type EvaluationResult } from "../eval/evaluation.js";
import { recordVideo, type VideoRecord } from "../eval/record.js";
import type { Gpu } from "../gpu/gpu.js";
import type { TrainingConfig } from "./config.js";

/**
 * Tests a model on a data set's labelled test videos, by frame-level metrics (docs/method.md §6).
 * @param onFrame called after each frame
 * @throws InputError if a video or its labels cannot be read, GpuError if the GPU fails, the
 * signal's reason
 */
export async function validate(
  gpu: Gpu,
  checkpoint: Checkpoint,
  { test: videos }: Pick<Dataset, "test">,
  { size, maskRatio, masking, test }: TrainingConfig,
  stage: 1 | 2,
  signal?: AbortSignal,
  onFrame?: () => void,
): Promise<EvaluationResult> {
  const rule = stage === 1 ? "teacher" : test.score;
  const score = {
    dtype: "f32",
    size,
    maskRatio,
    masking,
    norm: test.norm,
    score: rule,
    maskedOnly: test.maskedOnly,
    // Tuning during a run could make a resumed run use other kernels.
    tune: false,
  } as const;
  const detector = await Detector.open(checkpoint, { gpu, ...score, tokenMaps: true });
  try {
    const evaluation = new Evaluation({ ...test.evaluation, rule });
    for (const { name, path, open, labels } of videos) {
      if (!labels) continue;
      const records: VideoRecord[] = [];
      for (let seed = 0; seed < test.maskings; seed++) {
        detector.seed = seed;
        records.push(await recordVideo(detector, await open(), signal, onFrame));
      }
      await evaluation.add({ name, path, open, labels }, records);
    }
    return evaluation.finish();
  } finally {
    detector.close();
  }
}
