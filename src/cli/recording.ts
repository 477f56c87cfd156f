// How `eval` opens a detector, here and in the workers that share its videos, and the record of one
// video that a worker makes.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ScoringJob } from "../cluster/scorer.js";
import { Unfit } from "../cluster/scorer.js";
import { measuredOn } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { type Benchmark, benchmarks } from "../eval/benchmarks.js";
import { recordVideo } from "../eval/record.js";
import { openDataset } from "../node/datasets/index.js";
import type { NodeDetectorOptions } from "../node/detector.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { type Made, madeBy, recordBytes } from "../node/files/record_store.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";
import { type FrameScoreOptions, frameScoreOf } from "./options/measure.js";
import { checkpointPaths, type ModelOptions, scoreOptions } from "./options/model.js";
import type { Scoring } from "./scoring.js";

/** The options of {@link evalDetector}. */
export interface EvalDetectorOptions extends ModelOptions, FrameScoreOptions, DeviceOptions {
  seed: number;
  batch?: number;
  tune: boolean;
}

/** The options of a detector that is measured on a data set. @param layout the data set's */
export function evalDetector(
  options: EvalDetectorOptions,
  layout: string,
  onNotice: (line: string) => void,
): NodeDetectorOptions {
  const { [layout]: benchmark } = benchmarks as Partial<Record<string, Benchmark>>;
  return {
    ...scoreOptions(options),
    frameScore: frameScoreOf(options),
    fallback: benchmark?.preset,
    seed: options.seed,
    batch: options.batch,
    ...deviceOf(options),
    tune: options.tune,
    tokenMaps: true,
    onNotice,
  };
}

/** What {@link record} needs beside its job. */
export type Recording = Required<Pick<Scoring, "signal" | "detectors" | "onFrame">> & {
  device: DeviceOptions & { tune: boolean };
};

/**
 * Writes the record of a data set's video, as `eval` does.
 * @throws Unfit if this machine would make another record than the wanted one, InputError if
 * something cannot be read or written, GpuError if the GPU fails; the signal's reason
 */
export async function record(
  { input, checkpoint: path, how, scores, record: wanted }: ScoringJob & Required<Pick<ScoringJob, "record">>,
  { device, signal, detectors, onFrame }: Recording,
): Promise<void> {
  const { layout, split, video: name, seed, student, batch, made } = wanted;
  const dataset = measuredOn(await openDataset(input, { layout }), split);
  const video = dataset.test.find((one) => one.name === name);
  if (!video) throw new InputError(`the data set ${oneLine(input)} has no ${split} video ${oneLine(name)} here`);
  const checkpoint: Checkpoint = await detectors.read(
    checkpointPaths({ checkpoint: path, ...(student !== undefined && { student }) }),
    how.heads,
  );
  const options = { ...how, ...device, ...(batch !== undefined && { batch }) };
  const detector = await detectors.open(
    checkpoint,
    evalDetector(options, layout, () => {}),
  );
  const first = detector.seed;
  try {
    refuseOther(madeBy(detector, dataset), made);
    detector.seed = seed;
    const source = await video.open();
    let count = 0;
    const maps = await recordVideo(detector, source, signal, () => onFrame(++count, video.frameCount));
    await writeFileAtomic(scores, recordBytes(maps, made, name, seed));
  } finally {
    detector.seed = first;
    detectors.close(detector);
  }
}

/** @throws Unfit if records of one kind are not those of the other */
function refuseOther(own: Made, wanted: Made): void {
  for (const what of ["adapter", "model", "settings"] as const) {
    if (own[what] !== wanted[what]) {
      throw new Unfit(`its ${what} is ${oneLine(own[what])}, but records are made with ${oneLine(wanted[what])}`);
    }
  }
}
