// Measures a detector on the test videos of a data set: scores, AUCs, regions.
import { counted } from "../counted.js";
import { checkLabelCount, type DatasetVideo, nameOfLabels } from "../data/dataset.js";
import { quantile } from "../data/quantile.js";
import {
  type FrameScoreSettings,
  frameScore,
  type MapKind,
  meanTokenMap,
  paperFrameScore,
} from "../detector/frame_score.js";
import { InputError } from "../errors.js";
import { usualAlarmRule } from "../watch/alarm_rule.js";
import { type EventMetrics, eventMetrics } from "./events.js";
import { macroAuc, microAuc } from "./frame_auc.js";
import { PixelAuc } from "./pixel_auc.js";
import type { VideoRecord } from "./record.js";
import { type RegionCurves, type RegionVideo, regionMetrics } from "./region_metrics.js";
import { findRegions } from "./regions.js";
import { equalErrorRate, type RocCurve, rocAuc, rocCurve } from "./roc.js";
import { countNaN, minMaxNormalize, type Smoothing, smooth } from "./smoothing.js";
import { TrackBuilder } from "./tracks.js";

/** How a detector is measured. */
export interface EvaluationSettings extends FrameScoreSettings {
  smoothing: Smoothing;
  /** Whether the smoothed scores of each video are stretched to 0…1. */
  normalize: boolean;
  /** The map in which regions and pixels are found. */
  map: MapKind;
  /** A region is where the map reaches this quantile of its video's values; 0 to below 1. */
  regionQuantile: number;
  /**
   * The threshold of events, for scores before smoothing, by the rule for live video; default: that
   * of the equal-error rate, for smoothed scores.
   */
  threshold?: number;
  /** Frames per second of videos without a clock, for event-level figures; default 25. */
  fps?: number;
  /** Share of a track's regions that must be found, above 0 and at most 1. */
  alpha: number;
  /** Least overlap (IoU) of a detection with a region, above 0 and at most 1. */
  beta: number;
}

/** The paper's settings for Avenue (docs/method.md §6). */
export const paperEvaluation: EvaluationSettings = {
  ...paperFrameScore,
  smoothing: { kind: "paper", range: 38, mu: 11 },
  normalize: false,
  map: "cleaned-map",
  regionQuantile: 0.99,
  alpha: 0.1,
  beta: 0.1,
};

/** The measurements of a video. Arrays have one entry per frame. */
export interface VideoResult {
  name: string;
  /** Frame numbers. */
  frames: number[];
  /** Seconds from the start, if the video has a clock. */
  times?: number[];
  /** Scores before smoothing. */
  raw: Float64Array;
  /** Scores after smoothing and stretching, as measured. */
  scores: Float64Array;
  labels?: Uint8Array;
  /** ROC-AUC, 0…1; absent without labels of both classes. */
  auc?: number;
}

/** The result for a data set. AUCs and rates are 0…1. What cannot be computed is absent. */
export interface EvaluationResult {
  videos: VideoResult[];
  microAuc?: number;
  macroAuc?: number;
  /** Equal-error rate over all frames, and its threshold. */
  equalErrorRate?: { rate: number; threshold: number };
  roc?: RocCurve;
  /** Events and alarms at the threshold that was given, else at that of the equal-error rate. */
  events?: EventMetrics;
  pixelAuc?: number;
  rbdc?: number;
  tbdc?: number;
  regionCurves?: RegionCurves;
  /** One line for each thing that is missing or odd. */
  notes: string[];
}

/**
 * Measures a detector, video by video (docs/method.md §6). Of each video it keeps some numbers per
 * frame and the detected regions, not the maps.
 */
export class Evaluation {
  private readonly videos: VideoResult[] = [];
  private readonly notes: string[] = [];
  private readonly pixels = new PixelAuc();
  private readonly regions: RegionVideo[] = [];
  private regionFrames = 0;
  private masked = 0;

  /** @throws InputError if a setting is out of range */
  constructor(private readonly settings: EvaluationSettings) {
    const { topK, regionQuantile, minMotion, alpha, beta } = settings;
    for (const [name, share] of Object.entries({ alpha, beta })) {
      if (!(share > 0 && share <= 1)) throw new InputError(`${name} ${share} is not above 0 and at most 1`);
    }
    if (!Number.isInteger(topK) || topK < 1) throw new InputError(`top-k ${topK} is not a whole number from 1`);
    if (!(regionQuantile >= 0 && regionQuantile < 1)) {
      throw new InputError(`region quantile ${regionQuantile} is not from 0 to below 1`);
    }
    if (!(minMotion >= 0)) throw new InputError(`least motion ${minMotion} is not a number from 0`);
  }

  /**
   * Measures a video.
   * @param records of the video, one per masking; frame scores and maps are averaged over them
   * @throws InputError if a score is infinite, or ground truth cannot be read or does not fit
   */
  async add(video: DatasetVideo, records: readonly VideoRecord[]): Promise<void> {
    const record = records[0];
    const raw = meanScores(records, this.settings);
    const notNumbers = countNaN(raw);
    if (notNumbers > 0) {
      this.notes.push(
        `${video.name}: ${counted(notNumbers, "score")} of NaN: NaN, and scores that smoothing mixes with it, count as 0`,
      );
    }
    const smoothed = smooth(raw, this.settings.smoothing, video.name);
    const scores = this.settings.normalize ? minMaxNormalize(smoothed) : smoothed;
    const labels = await this.labelsOf(video, raw.length);
    const auc = labels && rocAuc(labels, scores);
    if (labels && auc === undefined) {
      this.notes.push(`${video.name}: every frame is ${labels[0] === 1 ? "abnormal" : "normal"}: no AUC of its own`);
    }
    await this.addRegions(video, records);
    this.videos.push({
      name: video.name,
      frames: record.frames,
      ...(record.times && { times: record.times }),
      raw,
      scores,
      ...(labels && { labels }),
      ...(auc !== undefined && { auc }),
    });
  }

  /** The result for all videos so far. */
  finish(): EvaluationResult {
    const { videos, notes, settings } = this;
    const labelled = videos.filter((v): v is VideoResult & { labels: Uint8Array } => v.labels !== undefined);
    const micro = microAuc(labelled);
    const result: EvaluationResult = { videos, notes: [...notes] };
    if (labelled.length === 0) result.notes.push("no video has labels: scores only, no AUC");
    else if (micro === undefined) result.notes.push("all labelled frames are of one class: no micro-AUC");
    if (labelled.length > 0) result.macroAuc = macroAuc(labelled);
    if (micro !== undefined) {
      const [labels, scores] = [concatenate(labelled.map((v) => v.labels)), concatenate(labelled.map((v) => v.scores))];
      result.microAuc = micro;
      result.roc = rocCurve(labels, scores, 500);
      result.equalErrorRate = equalErrorRate(labels, scores);
    }
    const events = eventsOf(labelled, settings, result.equalErrorRate?.threshold);
    if (events) result.events = events;
    if (this.masked > 0) {
      const pixelAuc = this.pixels.auc();
      if (pixelAuc !== undefined) result.pixelAuc = pixelAuc;
    }
    if (this.regions.some((video) => video.tracks.length > 0)) {
      const { rbdc, tbdc, curves } = regionMetrics(this.regions, this.regionFrames, settings);
      Object.assign(result, { rbdc, tbdc, regionCurves: curves });
    }
    return result;
  }

  /** A video's labels; undefined, with a note, if it has none. */
  private async labelsOf(video: DatasetVideo, frameCount: number): Promise<Uint8Array | undefined> {
    if (video.labels) {
      const labels = await video.labels();
      checkLabelCount(nameOfLabels(video), labels, frameCount);
      return labels;
    }
    this.notes.push(`${video.name}: no labels, left out of frame-level metrics`);
    return undefined;
  }

  /** Compares a video's maps with its ground truth of pixels and regions, if it has any. */
  private async addRegions(video: DatasetVideo, records: readonly VideoRecord[]): Promise<void> {
    if (!video.mask && !video.tracks) return;
    const { rule, map: kind, regionQuantile } = this.settings;
    const record = records[0];
    // 1. Detections: regions in which the maps reach a quantile of the video's values.
    const maps = record.tokens.map((_, frame) => {
      const maskings = records.map(({ tokens }) => tokens[frame]);
      return meanTokenMap(maskings, rule, kind);
    });
    const threshold = quantile(concatenate(maps.map((map) => map.data)), regionQuantile);
    const detections = maps.flatMap((map, frame) =>
      findRegions(map, threshold, record).map((region) => ({ ...region, frame })),
    );
    // 2. Masks: for the pixel-level AUC, and to build tracks if the data set has none.
    const built = new TrackBuilder();
    if (video.mask) {
      this.masked++;
      for (const [frame, map] of maps.entries()) {
        const mask = await video.mask(frame);
        if (mask.width !== record.width || mask.height !== record.height) {
          throw new InputError(
            `${video.path}: the mask of frame ${frame} of ${video.name} is ${mask.width}×${mask.height} pixels, ` +
              `its frames are ${record.width}×${record.height}`,
          );
        }
        this.pixels.add(map, mask, `${video.name}, frame ${frame}`);
        if (!video.tracks) built.add(mask);
      }
    }
    const tracks = video.tracks ? await video.tracks() : built.boxes;
    this.regionFrames += maps.length;
    this.regions.push({ name: video.name, tracks, detections });
  }
}

/** Events and alarms; undefined without a threshold. */
function eventsOf(
  labelled: readonly (VideoResult & { labels: Uint8Array })[],
  { threshold, fps = 25 }: EvaluationSettings,
  equalError: number | undefined,
): EventMetrics | undefined {
  const timed = labelled.map((v) => ({ ...v, times: v.times ?? v.frames.map((_, i) => i / fps) }));
  if (threshold !== undefined) {
    const plain = timed.map((video) => ({ ...video, scores: video.raw }));
    return eventMetrics(plain, threshold, usualAlarmRule);
  }
  return equalError === undefined ? undefined : eventMetrics(timed, equalError);
}

/** Frame scores, averaged over maskings. */
function meanScores(records: readonly VideoRecord[], settings: FrameScoreSettings): Float64Array {
  const count = records[0]?.tokens.length ?? 0;
  const scores = new Float64Array(count);
  for (const { tokens } of records) {
    if (tokens.length !== count)
      throw new Error(`records of one video have ${count} and ${counted(tokens.length, "frame")}`);
    for (const [i, maps] of tokens.entries()) {
      scores[i] += frameScore(maps, settings) / records.length;
    }
  }
  return scores;
}

/** All arrays in one, in their order. */
function concatenate(parts: readonly ArrayLike<number>[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
