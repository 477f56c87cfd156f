// Chooses the moments of an evaluation that a report shows.
import type { VideoResult } from "../../eval/evaluation.js";

/** A moment worth looking at. */
export interface Moment {
  kind: "detected" | "false positive" | "missed" | "highest";
  video: string;
  index: number;
  frame: number;
  score: number;
  label?: number;
}

/** The least distance of two moments of one kind in a video, in frames. */
const apart = 40;
/** The most moments of each kind. */
const most = 4;

/**
 * The best and the worst moments of an evaluation. "detected": abnormal frames with the highest
 * scores; "false positive": normal frames with the highest scores; "missed": abnormal frames with
 * the lowest scores; each on its side of the threshold. Without a threshold: "highest" scores. At
 * most four of each kind, from as many videos as possible.
 * @param threshold frames with this score or more count as abnormal
 */
export function findMoments(videos: readonly VideoResult[], threshold: number | undefined): Moment[] {
  if (threshold === undefined) return pick(videos, "highest", () => true, 1);
  return [
    ...pick(videos, "detected", (score, label) => label === 1 && score >= threshold, 1),
    ...pick(videos, "false positive", (score, label) => label === 0 && score >= threshold, 1),
    ...pick(videos, "missed", (score, label) => label === 1 && score < threshold, -1),
  ];
}

type Choice = (score: number, label: number | undefined) => boolean;

/** The frames with extreme scores among those that are meant, from all videos in turn. */
function pick(videos: readonly VideoResult[], kind: Moment["kind"], isMeant: Choice, sign: 1 | -1): Moment[] {
  const perVideo = videos.map((video) => extremes(video, kind, isMeant, sign));
  const better = (a: Moment, b: Moment) => sign * (b.score - a.score);
  const chosen: Moment[] = [];
  for (let round = 0; round < most && chosen.length < most; round++) {
    const next = perVideo.flatMap((moments) => moments[round] ?? []).sort(better);
    chosen.push(...next.slice(0, most - chosen.length));
  }
  return chosen.sort(better);
}

/** The frames with extreme scores in one video, apart from each other. */
function extremes({ name, frames, scores, labels }: VideoResult, kind: Moment["kind"], isMeant: Choice, sign: 1 | -1) {
  const order = Array.from(scores.keys())
    .filter((index) => isMeant(scores[index], labels?.[index]))
    .sort((a, b) => sign * (scores[b] - scores[a]));
  const found: Moment[] = [];
  for (const index of order) {
    if (found.length === most) break;
    if (found.some((other) => Math.abs(other.index - index) < apart)) continue;
    const own = labels?.[index];
    const [frame, score] = [frames[index], scores[index]];
    found.push({ kind, video: name, index, frame, score, ...(own !== undefined && { label: own }) });
  }
  return found;
}
