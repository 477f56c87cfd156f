import type { TrackBox } from "../data/dataset.js";
import { InputError } from "../errors.js";
import type { Box, Region } from "./regions.js";

/** A region that was found in a frame (position in its video, from 0). */
export interface Detection extends Region {
  frame: number;
}

/** A video's ground truth and what was found in it. */
export interface RegionVideo {
  name: string;
  tracks: readonly TrackBox[];
  detections: readonly Detection[];
}

/** Corners of both curves, up to 1 false positive a frame; where detections end before that, extended flat. */
export interface RegionCurves {
  /** False positives a frame; rises from 0 to 1. */
  fpr: number[];
  /** Share of the regions that were found; 0 where there are none. */
  rbdr: number[];
  /** Share of the tracks that were found; 0 where there are none. */
  tbdr: number[];
}

/** RBDC and TBDC with their curves. */
export interface RegionMetrics {
  /** Area under the curve of found regions, 0…1; absent where there are no regions. */
  rbdc?: number;
  /** Area under the curve of found tracks, 0…1; absent where there are no tracks. */
  tbdc?: number;
  curves: RegionCurves;
  /** Of all detections; from `frameCount` on, the curves reach 1 by themselves. */
  falsePositives: number;
}

/**
 * The region- and the track-based detection criterion (Ramachandra & Jones, "Street Scene", WACV 2020; docs/method.md §6). Detections of all
 * videos go by score, from the highest down, equal ones in the order given (videos, then detections). One that overlaps any region of its
 * frame by an IoU of β or more finds all those that were not found yet; one that overlaps none is a false positive. A track is found as
 * soon as a share α of its regions is. Track numbers are a video's own; a detection outside of the video's frames overlaps nothing.
 * @param frameCount frames of all videos together, those without detections and ground truth too
 * @throws InputError for α or β not in (0, 1], a frame count below 1, or a detection whose score is NaN
 */
export function regionMetrics(
  videos: readonly RegionVideo[],
  frameCount: number,
  options: { alpha?: number; beta?: number } = {},
): RegionMetrics {
  const { alpha = 0.1, beta = 0.1 } = options;
  for (const [name, value] of [
    ["alpha", alpha],
    ["beta", beta],
  ] as const) {
    if (!(value > 0 && value <= 1)) throw new InputError(`${name} is ${value}; it must be above 0 and at most 1`);
  }
  if (!Number.isInteger(frameCount) || frameCount < 1) {
    throw new InputError(`regions are measured by frame: ${frameCount} frames cannot be`);
  }
  const truth = videos.map(({ tracks }) => groundTruth(tracks));
  const tracks = truth.reduce((sum, video) => sum + video.trackCount, 0);
  const regions = videos.reduce((sum, video) => sum + video.tracks.length, 0);

  let [found, foundTracks, falsePositives] = [0, 0, 0];
  // Areas under the steps, in regions × false positives and tracks × false positives: whole numbers.
  let [regionArea, trackArea] = [0, 0];
  const curves: RegionCurves = { fpr: [], rbdr: [], tbdr: [] };
  /** What was found so far was found with up to so many false positives. */
  const drawTo = (positives: number) => {
    const { fpr, rbdr, tbdr } = curves;
    const levels = [found / (regions || 1), foundTracks / (tracks || 1)] as const;
    const fromZero = fpr.length === 0;
    if (!fromZero && rbdr.at(-1) === levels[0] && tbdr.at(-1) === levels[1]) {
      fpr[fpr.length - 1] = positives / frameCount;
      return;
    }
    fpr.push(fromZero ? 0 : (fpr.at(-1) as number), positives / frameCount);
    rbdr.push(levels[0], levels[0]);
    tbdr.push(levels[1], levels[1]);
  };
  for (const { video, detection } of byScore(videos)) {
    let overlaps = false;
    for (const region of truth[video]?.regionsOf.get(detection.frame) ?? []) {
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
  const left = Math.max(0, frameCount - falsePositives);
  regionArea += left * found;
  trackArea += left * foundTracks;
  if (left > 0) drawTo(frameCount);
  return {
    ...(regions > 0 ? { rbdc: regionArea / regions / frameCount } : {}),
    ...(tracks > 0 ? { tbdc: trackArea / tracks / frameCount } : {}),
    curves,
    falsePositives,
  };
}

/** Intersection over union of two boxes; 0 for one whose corners are the wrong way round. */
export function boxIou(a: Box, b: Box): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1) + 1;
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1) + 1;
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}

function area({ x1, y1, x2, y2 }: Box): number {
  return (x2 - x1 + 1) * (y2 - y1 + 1);
}

/** All detections, the highest score first, equal ones in their order. */
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

/** A video's regions by frame. */
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
