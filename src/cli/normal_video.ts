// Watches normal video, for a threshold.
import { basename } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { FrameSource } from "../data/frame.js";
import { type MapKind, tokenMap } from "../detector/frame_score.js";
import type { FrameScore } from "../detector/scores.js";
import { comparable, scoreLimit } from "../detector/settings.js";
import type { ScoreMap } from "../detector/token_maps.js";
import type { Detector } from "../node/detector.js";
import type { StoredCalibration } from "../node/files/calibration_file.js";
import { weightsHash } from "../node/files/weights_hash.js";
import { usualAlarmRule } from "../watch/alarm_rule.js";
import {
  minutePeaks,
  NormalCollector,
  type NormalLevels,
  type RateThreshold,
  thresholdFor,
} from "../watch/calibration.js";
import { MapAverage } from "../watch/map_average.js";
import { mapQuantiles, ValueSample } from "../watch/value_sample.js";
import { mapForDetector } from "./options/measure.js";
import { usualFps } from "./options/watch.js";

/** False alarms per day that a threshold is made for, unless the user says otherwise. */
export const usualAlarmsPerDay = 1;

/** The map in which regions are found, for a detector opened with `tokenMaps`. */
export function regionMap({ tokens }: FrameScore, { settings }: Detector, kind: MapKind): ScoreMap {
  if (!tokens) throw new Error("regions need a detector that was opened with { tokenMaps: true }");
  return { rows: tokens.rows, columns: tokens.columns, data: tokenMap(tokens, settings.score, kind) };
}

/**
 * Scores a normal video and collects its levels and map values.
 * @param fps for frames without a time
 * @throws InputError if it cannot be read, GpuError if the GPU fails, the signal's reason
 */
export async function watchNormal(
  detector: Detector,
  source: FrameSource,
  { collector, sample, kind, fps }: { collector: NormalCollector; sample: ValueSample; kind: MapKind; fps: number },
  signal: AbortSignal,
  onFrame: () => void,
): Promise<void> {
  const average = new MapAverage();
  for await (const result of detector.stream(source, signal)) {
    const time = result.time ?? result.index / fps;
    collector.push({ time, score: result.score });
    sample.add(average.push(regionMap(result, detector, kind), time).data);
    onFrame();
  }
  collector.endVideo();
}

/** Seconds from a video's first frame to its last, if they are known before it is read. */
export function lengthOf({ frameCount, fps, duration }: FrameSource, given?: number): number | undefined {
  if (duration !== undefined || frameCount === undefined) return duration;
  return (frameCount - 1) / (fps ?? given ?? usualFps);
}

/** A threshold, what it was found from, and the file that keeps it. */
export interface FoundCalibration {
  normal: NormalLevels;
  found: RateThreshold;
  stored: StoredCalibration;
}

/** Finds the threshold of a model from several normal videos. */
export class Calibration {
  private readonly collector = new NormalCollector(usualAlarmRule);
  private readonly sample = new ValueSample();
  private readonly names: string[] = [];

  /** @param detector opened with `tokenMaps` */
  constructor(private readonly detector: Detector) {}

  /** Scores a video in which nothing is abnormal; see {@link watchNormal}. */
  async add(source: FrameSource, fps: number, signal: AbortSignal, onFrame: () => void): Promise<void> {
    const into = { collector: this.collector, sample: this.sample, kind: mapForDetector(this.detector), fps };
    await watchNormal(this.detector, source, into, signal, onFrame);
    this.names.push(basename(source.name));
  }

  /** @throws InputError if there was less than a minute of video */
  finish({ weights }: Pick<Checkpoint, "weights">, alarmsPerDay: number): FoundCalibration {
    const normal = this.collector.finish();
    const found = thresholdFor(normal, alarmsPerDay, scoreLimit(this.detector.settings));
    const quantile = (q: number) => this.sample.quantile(q);
    const { threshold, extrapolation } = found;
    const stored: StoredCalibration = {
      format: "sdmae-calibration-1",
      made: new Date().toISOString(),
      model: weightsHash(weights),
      settings: comparable(this.detector.settings),
      rule: usualAlarmRule,
      threshold,
      normal: normal.median,
      alarmsPerDay: found.alarmsPerDay,
      extrapolation,
      seconds: normal.seconds,
      map: { low: quantile(mapQuantiles.low), high: quantile(mapQuantiles.high) },
      minutes: minutePeaks(normal),
      videos: this.names,
    };
    return { normal, found, stored };
  }
}
