import { checkLabelCount, type DatasetVideo } from "../data/dataset.js";
import {
  type FrameScoreSettings,
  frameScore,
  type MapKind,
  meanTokenMap,
  paperFrameScore,
} from "../detector/frame_score.js";
import { InputError } from "../errors.js";
import { macroAuc, microAuc } from "./frame_auc.js";
import { PixelAuc } from "./pixel_auc.js";
import type { VideoRecord } from "./record.js";
import { type RegionCurves, type RegionVideo, regionMetrics } from "./region_metrics.js";
import { findRegions, quantile } from "./regions.js";
import { equalErrorRate, type RocCurve, rocAuc, rocCurve } from "./roc.js";
import { countNaN, minMaxNormalize, type Smoothing, smooth } from "./smoothing.js";
import { TrackBuilder } from "./tracks.js";

/** How a detector is measured. */
export interface EvaluationSettings extends FrameScoreSettings {
  smoothing: Smoothing;
  /** Scores of each video to 0…1 after smoothing. */
  normalize: boolean;
  /** What regions and pixels are found in. */
  map: MapKind;
  /** A region is where the map is above this quantile of its own video's values, 0…1. */
  regionQuantile: number;
  /** Share of a track's regions that must be found. */
  alpha: number;
  /** Least overlap (intersection over union) of a detection with a region. */
  beta: number;
}

/** The paper's settings for Avenue. */
export const paperEvaluation: EvaluationSettings = {
  ...paperFrameScore,
  smoothing: { kind: "paper", range: 38, mu: 11 },
  normalize: false,
  map: "cleaned-map",
  regionQuantile: 0.99,
  alpha: 0.1,
  beta: 0.1,
};

/** What is known of a video after it was measured. Arrays have an entry a frame. */
export interface VideoResult {
  name: string;
  /** Frame numbers. */
  frames: number[];
  /** Seconds, where the video has a clock. */
  times?: number[];
  /** Before smoothing. */
  raw: Float64Array;
  /** As measured. */
  scores: Float64Array;
  labels?: Uint8Array;
  /** ROC-AUC, 0…1; absent without labels of both classes. */
  auc?: number;
}

/** What a data set's test videos came to. AUCs, rates and shares are 0…1; what cannot be computed is absent, and `notes` says why. */
export interface EvaluationResult {
  videos: VideoResult[];
  microAuc?: number;
  macroAuc?: number;
  /** Equal-error rate over all frames, and the score at which it is. */
  equalErrorRate?: { rate: number; threshold: number };
  roc?: RocCurve;
  pixelAuc?: number;
  rbdc?: number;
  tbdc?: number;
  regionCurves?: RegionCurves;
  notes: string[];
}

/**
 * Measures a detector, a video at a time: of a video that was added only numbers a frame are kept, and detected regions.
 */
export class Evaluation {
  private readonly videos: VideoResult[] = [];
  private readonly notes: string[] = [];
  private readonly pixels = new PixelAuc();
  private readonly regions: RegionVideo[] = [];
  private regionFrames = 0;
  private masked = 0;

  constructor(private readonly settings: EvaluationSettings) {
    const { topK, regionQuantile, minMotion, alpha, beta } = settings;
    for (const [name, share] of Object.entries({ alpha, beta })) {
      if (!(share > 0 && share <= 1)) throw new InputError(`${name} ${share} is not above 0 and at most 1`);
    }
    if (!Number.isInteger(topK) || topK < 1) throw new InputError(`top-k ${topK} is not a whole number from 1`);
    if (!(regionQuantile >= 0 && regionQuantile < 1)) {
      throw new InputError(`region quantile ${regionQuantile} is not between 0 and 1 (exclusive)`);
    }
    if (!(minMotion >= 0)) throw new InputError(`least motion ${minMotion} is not a number from 0`);
  }

  /**
   * Measures a video.
   * @param records of the same video with several maskings: their frame scores and maps are averaged
   * @throws InputError for ground truth that cannot be read or does not fit the video
   */
  async add(video: DatasetVideo, records: readonly VideoRecord[]): Promise<void> {
    const record = records[0];
    const raw = meanScores(records, this.settings);
    const notNumbers = countNaN(raw);
    if (notNumbers > 0)
      this.notes.push(
        `${video.name}: ${notNumbers} scores are not numbers; they, and what smoothing mixes them with, count as 0`,
      );
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

  /** The figures over all videos that were added. */
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

  /** Labels, checked against the video. */
  private async labelsOf(video: DatasetVideo, frameCount: number): Promise<Uint8Array | undefined> {
    if (video.labels) {
      const labels = await video.labels();
      checkLabelCount(`${video.path}: the ground truth of ${video.name}`, labels, frameCount);
      return labels;
    }
    this.notes.push(`${video.name}: no labels, left out of frame-level figures`);
    return undefined;
  }

  /** Pixel-level and region-level ground truth against the maps. */
  private async addRegions(video: DatasetVideo, records: readonly VideoRecord[]): Promise<void> {
    if (!video.mask && !video.tracks) return;
    const { rule, map: kind, regionQuantile } = this.settings;
    const record = records[0];
    const maps = record.tokens.map((_, frame) => {
      const maskings = records.map(({ tokens }) => tokens[frame]);
      return meanTokenMap(maskings, rule, kind);
    });
    const threshold = quantile(concatenate(maps.map((map) => map.data)), regionQuantile);
    const detections = maps.flatMap((map, frame) =>
      findRegions(map, threshold, record).map((region) => ({ ...region, frame })),
    );
    const built = video.tracks ? undefined : new TrackBuilder();
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
        built?.add(mask);
      }
    }
    const tracks = video.tracks ? await video.tracks() : (built as TrackBuilder).boxes;
    this.regionFrames += maps.length;
    this.regions.push({ name: video.name, tracks, detections });
  }
}

/** Frame scores, averaged over the records of several maskings. */
function meanScores(records: readonly VideoRecord[], settings: FrameScoreSettings): Float64Array {
  const count = records[0]?.tokens.length ?? 0;
  const scores = new Float64Array(count);
  for (const { tokens } of records) {
    if (tokens.length !== count) throw new Error(`records of one video have ${count} and ${tokens.length} frames`);
    for (const [i, maps] of tokens.entries()) {
      scores[i] = scores[i] + frameScore(maps, settings) / records.length;
    }
  }
  return scores;
}

/** Arrays one after the other. */
function concatenate(parts: readonly ArrayLike<number>[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
