// Evaluates a detector on a data set, and keeps the records of its videos in files.
import { type Dataset, withReadLabels } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { Evaluation, type EvaluationResult, type EvaluationSettings } from "../eval/evaluation.js";
import { recordVideo, type VideoRecord } from "../eval/record.js";
import type { Detector } from "./detector.js";
import { RecordStore } from "./files/record_store.js";

/** How a data set is evaluated. */
export interface EvaluateOptions {
  settings: EvaluationSettings;
  /**
   * Random maskings whose scores are averaged: the detector's seed, and those that follow; default
   * 1.
   */
  maskings?: number;
  /**
   * Keeps the records of scored videos, for a later run or a report; by default they are deleted at
   * the end.
   */
  records?: RecordStore;
  signal?: AbortSignal;
  /** Called after each scored frame, or once with all frames of a video whose record is kept. */
  onFrames?: (count: number) => void;
}

/**
 * Scores a data set's test videos and measures the scores. Memory holds the token maps of one
 * video, once for each masking. All labels are read before the first frame is scored.
 * @param detector opened with `tokenMaps`
 * @throws InputError if there are no test videos, or if frames or ground truth cannot be read or do
 * not fit each other
 */
export async function evaluate(
  dataset: Dataset,
  detector: Detector,
  options: EvaluateOptions,
): Promise<EvaluationResult> {
  if (dataset.test.length === 0) throw new InputError(`${dataset.root} has no test videos`);
  const { settings, maskings = 1, signal, onFrames = () => {} } = options;
  const videos = await withReadLabels(dataset.test, signal);
  const first = detector.seed;
  const evaluation = new Evaluation(settings);
  const store = options.records ?? (await RecordStore.open(undefined, dataset, detector));
  try {
    for (const video of videos) {
      const records: VideoRecord[] = [];
      for (let seed = first; seed < first + maskings; seed++) {
        let record = await store.read(video.name, seed);
        if (record) {
          onFrames(record.frames.length);
        } else {
          detector.seed = seed;
          record = await recordVideo(detector, await video.open(), signal, () => onFrames(1));
          await store.write(video.name, seed, record);
        }
        records.push(record);
        signal?.throwIfAborted();
      }
      await evaluation.add(video, records);
    }
    return evaluation.finish();
  } finally {
    detector.seed = first;
    if (!options.records) await store.close();
  }
}
