// RBDC and TBDC: are abnormal regions, and their tracks, found?

import type { Box } from "../data/connected_components.js";
import type { TrackBox } from "../data/dataset.js";
import { InputError } from "../errors.js";
import type { Region } from "./regions.js";

/** A region that a detector found. */
export interface Detection extends Region {
  /** Position of the frame in its video, from 0. */
  frame: number;
}

/** A video's ground truth and detections. */
export interface RegionVideo {
  name: string;
  tracks: readonly TrackBox[];
  detections: readonly Detection[];
}

/** Corners of both curves, up to 1 false positive per frame. */
export interface RegionCurves {
  /** False positives per frame; rises from 0 to 1. */
  fpr: number[];
  /** Share of found regions; 0 if there are none. */
  rbdr: number[];
  /** Share of found tracks; 0 if there are none. */
  tbdr: number[];
}

/** RBDC and TBDC with their curves. */
export interface RegionMetrics {
  /** Area under the curve of found regions, 0…1; absent if there are no regions. */
  rbdc?: number;
  /** Area under the curve of found tracks, 0…1; absent if there are no tracks. */
  tbdc?: number;
  curves: RegionCurves;
  /** Detections that overlap no region. */
  falsePositives: number;
}

/**
 * The region- and track-based detection criteria (Ramachandra & Jones, "Street Scene", WACV 2020;
 * docs/method.md §6). Detections of all videos go by score, from the highest down; equal scores
 * keep the order of videos and detections. Tracks of different videos are different tracks. A
 * detection outside of its video's frames overlaps nothing.
 * @param frameCount frames of all videos, including those without detections and ground truth
 * @param options default 0.1: `alpha`, the share of a track's regions that must be found, and
 * `beta`, the least overlap (IoU) of a detection with a region
 * @throws InputError if α or β is not in (0, 1], there is no frame, or a score is NaN
 */
export function regionMetrics(
  videos: readonly RegionVideo[],
  frameCount: number,
  options: { alpha?: number; beta?: number } = {},
): RegionMetrics {
  const { alpha = 0.1, beta = 0.1 } = options;
  for (const [name, value] of Object.entries({ alpha, beta })) {
    if (!(value > 0 && value <= 1)) throw new InputError(`${name} is ${value}; it must be above 0 and at most 1`);
  }
  if (!Number.isInteger(frameCount) || frameCount < 1) {
    throw new InputError(`regions cannot be measured over ${frameCount} frames`);
  }
  // 1. Ground truth, by frame.
  const truth = videos.map(({ tracks }) => groundTruth(tracks));
  const tracks = truth.reduce((sum, video) => sum + video.trackCount, 0);
  const regions = videos.reduce((sum, video) => sum + video.tracks.length, 0);

  // 2. Each detection finds regions, or is a false positive and adds a step to both curves.
  let [found, foundTracks, falsePositives] = [0, 0, 0];
  // Areas under the steps, in regions × false positives and tracks × false positives: exact,
  // because they are whole numbers.
  let [regionArea, trackArea] = [0, 0];
  const curves = new StepCurves();
  const drawTo = (positives: number) =>
    curves.drawTo(positives / frameCount, found / (regions || 1), foundTracks / (tracks || 1));
  for (const { video, detection } of byScore(videos)) {
    let overlaps = false;
    for (const region of truth[video].regionsOf.get(detection.frame) ?? []) {
      if (boxIou(detection, region) < beta) continue;
      overlaps = true;
      if (region.found) continue;
      region.found = true;
      found++;
      const { track } = region;
      // As quotients: 1/10 is exactly the number 0.1.
      if (track.found++ / track.regions < alpha && track.found / track.regions >= alpha) foundTracks++;
    }
    if (overlaps) continue;
    if (falsePositives++ < frameCount) {
      regionArea += found;
      trackArea += foundTracks;
      drawTo(falsePositives);
    }
  }
  // 3. If detections end early, both curves are extended flat to 1 false positive per frame.
  const left = Math.max(0, frameCount - falsePositives);
  regionArea += left * found;
  trackArea += left * foundTracks;
  if (left > 0) drawTo(frameCount);
  return {
    ...(regions > 0 ? { rbdc: regionArea / regions / frameCount } : {}),
    ...(tracks > 0 ? { tbdc: trackArea / tracks / frameCount } : {}),
    curves: { fpr: curves.fpr, rbdr: curves.rbdr, tbdr: curves.tbdr },
    falsePositives,
  };
}

/** Both curves as they are drawn, from 0 on, in horizontal steps. */
class StepCurves implements RegionCurves {
  readonly fpr: number[] = [];
  readonly rbdr: number[] = [];
  readonly tbdr: number[] = [];

  /** Draws both curves on to `fpr`, at these heights. */
  drawTo(fpr: number, rbdr: number, tbdr: number): void {
    if (this.fpr.length > 0 && this.rbdr.at(-1) === rbdr && this.tbdr.at(-1) === tbdr) {
      this.fpr[this.fpr.length - 1] = fpr;
      return;
    }
    this.fpr.push(this.fpr.at(-1) ?? 0, fpr);
    this.rbdr.push(rbdr, rbdr);
    this.tbdr.push(tbdr, tbdr);
  }
}

/** Intersection over union of two boxes, 0…1; 0 if the corners of one are swapped. */
export function boxIou(a: Box, b: Box): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1) + 1;
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1) + 1;
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}

function area({ x1, y1, x2, y2 }: Box): number {
  return (x2 - x1 + 1) * (y2 - y1 + 1);
}

/** All detections, the highest score first. Equal scores keep their order. */
function byScore(videos: readonly RegionVideo[]): { video: number; detection: Detection }[] {
  return videos
    .flatMap(({ name, detections }, video) =>
      detections.map((detection) => {
        if (!Number.isNaN(detection.score)) return { video, detection };
        throw new InputError(`${name}: a detection in frame ${detection.frame} has the score NaN: it cannot be ranked`);
      }),
    )
    .sort((a, b) => b.detection.score - a.detection.score);
}

interface TrueRegion extends Box {
  found: boolean;
  track: { regions: number; found: number };
}

/** A video's regions by frame, and its number of tracks. */
function groundTruth(boxes: readonly TrackBox[]) {
  const tracks = new Map<number, TrueRegion["track"]>();
  const regionsOf = new Map<number, TrueRegion[]>();
  for (const { track: number, frame, x1, y1, x2, y2 } of boxes) {
    const track = tracks.get(number) ?? { regions: 0, found: 0 };
    track.regions++;
    tracks.set(number, track);
    const region = { x1, y1, x2, y2, found: false, track };
    const regions = regionsOf.get(frame);
    if (regions) regions.push(region);
    else regionsOf.set(frame, [region]);
  }
  return { regionsOf, trackCount: tracks.size };
}
