import { InputError } from "../errors.js";
import type { FrameSource } from "./frame.js";

/** A ground-truth region of a track in one frame. Corners are pixels of the source image, both inclusive. */
export interface TrackBox {
  track: number;
  /** Position in the video, from 0. */
  frame: number;
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** Which pixels of a frame are abnormal, at the frame's own size. */
export interface PixelMask {
  width: number;
  height: number;
  /** Row-major, 1 where abnormal, else 0. */
  data: Uint8Array;
}

/** A video of a data set with its ground truth. What the data set does not have is absent. Frames are told by position, from 0. */
export interface DatasetVideo {
  /** Unique within its split: "01", "Test001". */
  readonly name: string;
  /** Where its frames are, for messages. */
  readonly path: string;
  /** The number of frames, where it is known without decoding. */
  readonly frameCount?: number;
  /** @throws InputError naming the file for frames that cannot be read */
  open(): Promise<FrameSource>;
  /**
   * 1 for an abnormal frame, else 0; one a frame.
   * @throws InputError naming the file for labels that cannot be read, or are not as many as {@link frameCount}
   */
  labels?(): Promise<Uint8Array>;
  /** The pixel ground truth of a frame. @throws InputError */
  mask?(frame: number): Promise<PixelMask>;
  /** Every region of every track. @throws InputError */
  tracks?(): Promise<TrackBox[]>;
  /** The same video with something abnormal pasted in (docs/method.md §7), and masks of it, not 0 where abnormal; frames have the video's numbers. */
  abnormal?: { frames(): Promise<FrameSource>; masks(): Promise<FrameSource> };
}

/** A data set: normal videos to learn from, and videos with ground truth to be measured on. */
export interface Dataset {
  /** Which layout it was read as: "avenue", "shanghai", "ubnormal", "ped1", "ped2", "folder", "scene". */
  readonly layout: string;
  readonly root: string;
  readonly train: readonly DatasetVideo[];
  readonly test: readonly DatasetVideo[];
  /** One line for each thing that is missing or was passed over. */
  readonly notes: readonly string[];
}

/**
 * Checks that labels fit their video.
 * @param name the file, for the message
 * @throws InputError with both counts
 */
export function checkLabelCount(name: string, labels: ArrayLike<number>, frameCount: number): void {
  if (labels.length !== frameCount) {
    throw new InputError(`${name} has ${labels.length} labels, but its video has ${frameCount} frames`);
  }
}
