// Writes the report of an evaluation.
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { quantile } from "../../data/quantile.js";
import { meanTokenMap } from "../../detector/frame_score.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import type { EvaluationResult, EvaluationSettings, VideoResult } from "../../eval/evaluation.js";
import type { VideoRecord } from "../../eval/record.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import type { ReportCurve, ReportMetric, ReportMoment, ReportVideo } from "./data.js";
import { findMoments } from "./moments.js";
import { highestOf } from "./page/model.js";
import { reportPage } from "./page_file.js";
import { type PictureWish, takePictures } from "./pictures.js";

/** What a report is made from. */
export interface ReportSource {
  title: string;
  dataset: Dataset;
  result: EvaluationResult;
  settings: EvaluationSettings;
  metrics: readonly ReportMetric[];
  facts: readonly (readonly [string, string])[];
  /** What is abnormal in a video, in a few words, if that is known. */
  about?: (video: string) => string | undefined;
  /** Gives the records of a video, one per masking, for its maps. */
  records: (video: DatasetVideo) => Promise<VideoRecord[]>;
  /** Called after each video. */
  onVideo?: () => void;
  signal?: AbortSignal;
}

/** Pictures in all videos' strips together, about 14 kB each. */
const stripBudget = 1200;
/** Pixels. */
const stripWidth = 400;
const momentWidth = 400;

/**
 * Writes an evaluation's report: one HTML file with everything inside.
 * @throws InputError if frames or records cannot be read, or the file cannot be written
 */
export async function writeReport(path: string, source: ReportSource): Promise<void> {
  const { dataset, result, settings, signal } = source;
  const range = await mapRange(source);
  const found = findMoments(result.videos, result.equalErrorRate?.threshold);
  const moments = new Map<(typeof found)[number], ReportMoment>();
  const perStrip = Math.max(8, Math.min(40, Math.floor(stripBudget / Math.max(1, result.videos.length))));
  const videos: ReportVideo[] = [];
  for (const video of result.videos) {
    const from = dataset.test.find(({ name }) => name === video.name) as DatasetVideo;
    const records = await source.records(from);
    const mapAt = (index: number) => mapOf(records, index, settings);
    // The page opens at the highest score.
    const indices = new Set(evenly(video.frames.length, perStrip));
    if (indices.size > 0) indices.add(highestOf(Array.from(video.scores)));
    const strip = [...indices].sort((a, b) => a - b).map((index): PictureWish => ({ index, width: stripWidth }));
    const about = source.about?.(video.name);
    const own = found.filter((moment) => moment.video === video.name);
    const wishes = [...strip, ...own.map(({ index }): PictureWish => ({ index, width: momentWidth }))];
    const pictures = await takePictures(from, wishes, mapAt, range, signal);
    for (const [i, moment] of own.entries()) {
      const picture = pictures[strip.length + i];
      const note = about !== undefined && moment.label === 1 && { note: about };
      if (picture) moments.set(moment, { ...moment, ...picture, ...note });
    }
    const named = about !== undefined && { about };
    videos.push({ ...reportVideo(video, pictures.slice(0, strip.length)), ...named });
    source.onVideo?.();
  }
  const page = reportPage({
    title: source.title,
    created: new Date().toISOString(),
    facts: source.facts,
    metrics: source.metrics,
    ...(result.equalErrorRate && {
      threshold: result.equalErrorRate.threshold,
      thresholdNote:
        "At the equal-error rate: the share of normal frames that reach it equals the share of abnormal frames that do not.",
    }),
    curves: curves(result),
    videos,
    moments: found.flatMap((moment) => moments.get(moment) ?? []),
    notes: result.notes,
  });
  await writeFileAtomic(path, page);
}

function reportVideo(video: VideoResult, strip: ReportVideo["strip"]): ReportVideo {
  const { name, frames, times, raw, scores, labels, auc } = video;
  return {
    name,
    frames,
    ...(times && { times }),
    raw: Array.from(raw),
    scores: Array.from(scores),
    ...(labels && { labels: Array.from(labels) }),
    ...(auc !== undefined && { auc: 100 * auc }),
    strip,
  };
}

function curves({ roc, microAuc, regionCurves, rbdc, tbdc }: EvaluationResult): ReportCurve[] {
  const all: ReportCurve[] = [];
  if (roc && microAuc !== undefined) {
    const [x, y] = [Array.from(roc.fpr), Array.from(roc.tpr)];
    const labels = { xLabel: "false-positive rate (normal frames)", yLabel: "true-positive rate (abnormal frames)" };
    all.push({ name: "ROC of all frames", ...labels, x, y, area: 100 * microAuc, chance: true });
  }
  if (regionCurves) {
    const x = regionCurves.fpr;
    const xLabel = "false positives per frame";
    if (rbdc !== undefined) {
      all.push({ name: "RBDC", xLabel, yLabel: "share of regions found", x, y: regionCurves.rbdr, area: 100 * rbdc });
    }
    if (tbdc !== undefined) {
      all.push({ name: "TBDC", xLabel, yLabel: "share of tracks found", x, y: regionCurves.tbdr, area: 100 * tbdc });
    }
  }
  return all;
}

/** `count` positions spread evenly over `length`, or all of them if there are fewer. */
function evenly(length: number, count: number): number[] {
  if (length <= count) return Array.from({ length }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.round((i * (length - 1)) / (count - 1)));
}

/** A frame's map: the mean over maskings. */
function mapOf(records: readonly VideoRecord[], index: number, { rule, map }: EvaluationSettings): ScoreMap {
  return meanTokenMap(
    records.map(({ tokens }) => tokens[index]),
    rule,
    map,
  );
}

/**
 * The map values that are transparent and opaque: the median over videos of their 90 % quantiles,
 * and the highest 99.8 % quantile of any video.
 */
async function mapRange({ dataset, result, settings, records }: ReportSource): Promise<{ low: number; high: number }> {
  const lows: number[] = [];
  let high = 0;
  for (const { name } of result.videos) {
    const own = await records(dataset.test.find((video) => video.name === name) as DatasetVideo);
    const count = own[0]?.tokens.length ?? 0;
    // A hundred frames represent all of a video.
    const maps = evenly(count, 100).map((index) => mapOf(own, index, settings).data);
    const values = Float32Array.from(maps.flatMap((map) => Array.from(map)));
    lows.push(quantile(values, 0.9));
    high = Math.max(high, quantile(values, 0.998));
  }
  const low = lows.sort((a, b) => a - b)[lows.length >> 1] ?? 0;
  return { low, high: Math.max(high, low) };
}
