// Frame-level AUCs of a data set: micro and macro.
import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import { rocAuc } from "./roc.js";

/** A video's smoothed scores and its labels. */
export interface ScoredVideo {
  name: string;
  /** 1 for an abnormal frame, 0 for a normal one. */
  labels: ArrayLike<number>;
  /** One per frame, none of them NaN. */
  scores: ArrayLike<number>;
}

/** The areas under the ROC curve of a video, 0…1. */
export interface VideoAuc {
  name: string;
  /** Of its frames; absent if all have the same label. */
  auc?: number;
  /** With one point added at each end, as the macro-AUC counts it. */
  paddedAuc: number;
}

/**
 * ROC-AUC over all frames of all videos together (docs/method.md §6).
 * @returns 0…1; undefined if all labels are the same, where the original has 1
 * @throws InputError that names the video whose labels or scores are not valid
 */
export function microAuc(videos: readonly ScoredVideo[]): number | undefined {
  const { labels, scores } = allFrames(videos);
  return rocAuc(labels, scores);
}

/**
 * Mean over the videos of the ROC-AUC of labels [0, …, 1] and scores [0, …, 1]: one point is added
 * at each end, so that a video of one class counts too (docs/method.md §6).
 * @returns 0…1; undefined for no videos
 * @throws InputError as {@link microAuc}
 */
export function macroAuc(videos: readonly ScoredVideo[]): number | undefined {
  if (videos.length === 0) return undefined;
  return videoAucs(videos).reduce((sum, { paddedAuc }) => sum + paddedAuc, 0) / videos.length;
}

/**
 * The ROC-AUC of each video alone.
 * @throws InputError as {@link microAuc}
 */
export function videoAucs(videos: readonly ScoredVideo[]): VideoAuc[] {
  return videos.map((video) => {
    checkVideo(video);
    const { name, labels, scores } = video;
    const auc = rocAuc(labels, scores);
    const paddedAuc = rocAuc([0, ...Array.from(labels), 1], [0, ...Array.from(scores), 1])!;
    return { name, ...(auc === undefined ? {} : { auc }), paddedAuc };
  });
}

/** The frames of all videos, one after the other. */
function allFrames(videos: readonly ScoredVideo[]): { labels: Uint8Array; scores: Float64Array } {
  const count = videos.reduce((sum, { scores }) => sum + scores.length, 0);
  const labels = new Uint8Array(count);
  const scores = new Float64Array(count);
  let at = 0;
  for (const video of videos) {
    checkVideo(video);
    labels.set(video.labels, at);
    scores.set(video.scores, at);
    at += video.scores.length;
  }
  return { labels, scores };
}

function checkVideo({ name, labels, scores }: ScoredVideo): void {
  if (labels.length !== scores.length) {
    throw new InputError(`${name} has ${counted(labels.length, "label")} and ${counted(scores.length, "score")}`);
  }
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if (label !== 0 && label !== 1) {
      throw new InputError(`${name}: the label of frame ${i} is ${label}, neither 0 (normal) nor 1 (abnormal)`);
    }
    if (Number.isNaN(scores[i])) throw new InputError(`${name}: the score of frame ${i} is NaN`);
  }
}
