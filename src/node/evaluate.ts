import type { Dataset } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { Evaluation, type EvaluationResult, type EvaluationSettings } from "../eval/evaluation.js";
import { recordVideo, type VideoRecord } from "../eval/record.js";
import type { Detector } from "./detector.js";
import { RecordStore } from "./files/record_store.js";

/** How a data set is evaluated. */
export interface EvaluateOptions {
  settings: EvaluationSettings;
  /** Random maskings whose scores are averaged, with the seeds n, n + 1, … from the detector's; default 1. */
  maskings?: number;
  /** Where records of scored videos are kept, for a later run or a report; by default they are removed at the end. */
  records?: RecordStore;
  signal?: AbortSignal;
  /** Called after each frame that was scored, and with all of a video's frames where its record was there already. */
  onFrames?: (count: number) => void;
}

/**
 * Scores a data set's test videos and measures the scores. Memory is bounded by one video's token maps, once for each masking.
 * @param detector opened with `tokenMaps`
 * @throws InputError for frames or ground truth that cannot be read or do not fit
 */
export async function evaluate(
  dataset: Dataset,
  detector: Detector,
  options: EvaluateOptions,
): Promise<EvaluationResult> {
  if (dataset.test.length === 0) throw new InputError(`${dataset.root} has no test videos`);
  const { settings, maskings = 1, signal, onFrames = () => {} } = options;
  const first = detector.seed;
  const evaluation = new Evaluation(settings);
  const store = options.records ?? (await RecordStore.open(undefined, dataset, detector));
  try {
    for (const video of dataset.test) {
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
