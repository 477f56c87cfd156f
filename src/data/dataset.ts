// What a data set is to the rest of the code: videos with ground truth.

import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import type { FrameSource } from "./frame.js";

/**
 * The ground-truth box of a track in one frame. Both corners are inclusive pixels of the source
 * image.
 */
export interface TrackBox {
  track: number;
  /** The frame's position in the video, from 0. */
  frame: number;
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** The abnormal pixels of a frame, at the frame's size. */
export interface PixelMask {
  width: number;
  height: number;
  /** One byte per pixel, row-major: 1 if abnormal, else 0. */
  data: Uint8Array;
}

/**
 * A video of a data set. Ground truth that the data set does not have is undefined. Frames are
 * given by position, from 0.
 */
export interface DatasetVideo {
  /** Unique in its split, such as "01" or "Test001". */
  readonly name: string;
  /** Where its frames are; for messages. */
  readonly path: string;
  /** The number of frames, if it is known without decoding. */
  readonly frameCount?: number;
  /** Whether training learns from it, and keeps others apart, if there are enough. */
  readonly isAlwaysLearnt?: boolean;
  /**
   * Opens the video's frames.
   * @throws InputError that names a file that cannot be read
   */
  open(): Promise<FrameSource>;
  /**
   * One label per frame: 1 if abnormal, else 0.
   * @throws InputError that names the file if it cannot be read or does not have {@link frameCount}
   * labels
   */
  labels?(): Promise<Uint8Array>;
  /** The abnormal pixels of a frame. @throws InputError if they cannot be read */
  mask?(frame: number): Promise<PixelMask>;
  /** All boxes of all tracks. @throws InputError if they cannot be read */
  tracks?(): Promise<TrackBox[]>;
  /**
   * The same video with pasted anomalies, and their masks, which are not 0 where a frame is
   * abnormal (docs/method.md §7). Frames have the video's numbers.
   */
  abnormal?: { frames(): Promise<FrameSource>; masks(): Promise<FrameSource> };
}

/** A data set: normal videos for training, and videos with ground truth for tests. */
export interface Dataset {
  /** Its layout: "avenue", "shanghai", "ubnormal", "ped1", "ped2", "folder" or "scene". */
  readonly layout: string;
  readonly root: string;
  /**
   * The folder that frames with synthetic anomalies belong into; absent if that is `train/` of the
   * root.
   */
  readonly trainFolder?: string;
  readonly train: readonly DatasetVideo[];
  readonly test: readonly DatasetVideo[];
  /** Videos with ground truth to choose settings by; absent if the layout has no such split. */
  readonly validation?: readonly DatasetVideo[];
  /** Which videos {@link test} holds; default: those for tests. */
  readonly testSplit?: TestSplit;
  /** One line for each thing that is missing or was skipped. */
  readonly notes: readonly string[];
}

/** The splits on which a model can be measured. */
export const testSplits = ["test", "validation"] as const;
export type TestSplit = (typeof testSplits)[number];

/**
 * A data set that is measured on one of its splits.
 * @throws InputError if it has no videos in that split
 */
export function measuredOn(dataset: Dataset, split: TestSplit): Dataset {
  if (split === "test") return dataset;
  const { validation = [] } = dataset;
  if (validation.length === 0) {
    throw new InputError(`${dataset.root} has no validation videos: only UBnormal's are known`);
  }
  return { ...dataset, test: validation, testSplit: split };
}

/**
 * Checks that there is one label per frame.
 * @param name the labels' file, for the message
 * @throws InputError with both counts if they differ
 */
export function checkLabelCount(name: string, labels: ArrayLike<number>, frameCount: number): void {
  if (labels.length !== frameCount) {
    throw new InputError(
      `${name} has ${counted(labels.length, "label")}, but its video has ${counted(frameCount, "frame")}`,
    );
  }
}

/** What {@link checkLabelCount} names: the labels may come from masks or tracks. */
export function nameOfLabels({ path, name }: DatasetVideo): string {
  return `${path}: the ground truth of ${name}`;
}

/**
 * Reads the labels of all videos, so that a fault is found before hours of scoring.
 * @returns the videos; their labels are kept, one byte per frame
 * @throws InputError if labels cannot be read, or are not one per frame where the number of frames
 * is known; the signal's reason
 */
export async function withReadLabels(videos: readonly DatasetVideo[], signal?: AbortSignal): Promise<DatasetVideo[]> {
  const read: DatasetVideo[] = [];
  for (const video of videos) {
    signal?.throwIfAborted();
    const labels = await video.labels?.();
    if (labels && video.frameCount !== undefined) checkLabelCount(nameOfLabels(video), labels, video.frameCount);
    read.push(labels ? { ...video, labels: () => Promise.resolve(labels) } : video);
  }
  return read;
}
