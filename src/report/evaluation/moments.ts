import type { VideoResult } from "../../eval/evaluation.js";

/** A moment worth looking at. */
export interface Moment {
  kind: "detected" | "false alarm" | "missed" | "highest";
  video: string;
  index: number;
  frame: number;
  score: number;
  label?: number;
}

/** Moments of one kind in one video lie at least so many frames apart. */
const apart = 40;
/** Of each kind. */
const most = 4;

/**
 * The best and the worst moments of an evaluation: abnormal frames with the highest scores, normal ones with the highest, abnormal ones with the
 * lowest, each on its side of the threshold; without a threshold just the highest scores. At most four of each kind, from as many videos as there are.
 * @param threshold frames that score as much or more count as abnormal
 */
export function findMoments(videos: readonly VideoResult[], threshold: number | undefined): Moment[] {
  if (threshold === undefined) return pick(videos, "highest", () => true, 1);
  return [
    ...pick(videos, "detected", (score, label) => label === 1 && score >= threshold, 1),
    ...pick(videos, "false alarm", (score, label) => label === 0 && score >= threshold, 1),
    ...pick(videos, "missed", (score, label) => label === 1 && score < threshold, -1),
  ];
}

type Choice = (score: number, label: number | undefined) => boolean;

/** The extreme ones of the frames that are meant, one video after the other as long as there are several. */
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
