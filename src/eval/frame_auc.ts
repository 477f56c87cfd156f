import { InputError } from "../errors.js";
import { rocAuc } from "./roc.js";

/** A video's scores, smoothed already, beside its labels. */
export interface ScoredVideo {
  name: string;
  /** 1 for an abnormal frame, else 0. */
  labels: ArrayLike<number>;
  /** One a frame, none of them NaN. */
  scores: ArrayLike<number>;
}

/** The area under the ROC curve of one video. */
export interface VideoAuc {
  name: string;
  /** Of its frames as they are; absent where all have one label. */
  auc?: number;
  /** As the macro-AUC counts it: with one point more at each end. */
  paddedAuc: number;
}

/**
 * ROC-AUC over all frames of all videos together (docs/method.md §6).
 * @returns undefined where all labels are the same (the original says 1 there)
 * @throws InputError naming the video whose labels and scores are not equally many, or hold what they cannot
 */
export function microAuc(videos: readonly ScoredVideo[]): number | undefined {
  const { labels, scores } = allFrames(videos);
  return rocAuc(labels, scores);
}

/**
 * Mean over the videos of the ROC-AUC of labels [0, …, 1] and scores [0, …, 1]: one point added at each end, so that a video of
 * one class counts as well (docs/method.md §6).
 * @returns undefined for no videos
 * @throws InputError as {@link microAuc}
 */
export function macroAuc(videos: readonly ScoredVideo[]): number | undefined {
  if (videos.length === 0) return undefined;
  return videoAucs(videos).reduce((sum, { paddedAuc }) => sum + paddedAuc, 0) / videos.length;
}

/** The ROC-AUC of each video by itself. @throws InputError as {@link microAuc} */
export function videoAucs(videos: readonly ScoredVideo[]): VideoAuc[] {
  return videos.map((video) => {
    checkVideo(video);
    const { name, labels, scores } = video;
    const auc = rocAuc(labels, scores);
    const paddedAuc = rocAuc([0, ...Array.from(labels), 1], [0, ...Array.from(scores), 1]) as number;
    return { name, ...(auc === undefined ? {} : { auc }), paddedAuc };
  });
}

/** All videos' frames in one row. */
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
    throw new InputError(`${name} has ${labels.length} labels, but ${scores.length} scores`);
  }
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if (label !== 0 && label !== 1) {
      throw new InputError(`${name}: the label of frame ${i} is ${label}, neither 0 (normal) nor 1 (abnormal)`);
    }
    if (Number.isNaN(scores[i])) throw new InputError(`${name}: the score of frame ${i} is NaN`);
  }
}
