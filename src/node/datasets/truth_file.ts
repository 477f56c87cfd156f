// A file with the ground truth of one video: labels or masks, as text, .npy or .mat.

import { stat } from "node:fs/promises";
import { counted } from "../../counted.js";
import { checkLabelCount, type PixelMask } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type Clip, frameCountOf } from "./clip.js";
import { labelsOfFrames, labelsOfValues, readTextLabels } from "./labels_file.js";
import { checkMaskSize } from "./mask_images.js";
import { type MatTruth, readMatTruth } from "./mat_truth.js";
import { readNpyHeader } from "./npy_file.js";
import { labelsOfNpy, maskOfNpy, readNpyMasks } from "./npy_masks.js";

/** Endings of label files, in the order in which they are preferred. */
export const LABEL_ENDINGS = [".txt", ".csv", ".npy", ".mat"];
/** Endings of files that hold the masks of a whole video. */
export const MASK_ENDINGS = [".npy", ".mat"];

/**
 * The labels of a video's frames, from a file of any kind. A frame with an abnormal pixel in its
 * mask is abnormal.
 * @returns 0 (normal) or 1 (abnormal) per frame
 * @throws InputError if the file cannot be read, or does not fit the video
 */
export async function readLabels(path: string, clip: Clip): Promise<Uint8Array> {
  const labels = await labelsIn(path, clip);
  if (clip.frameCount !== undefined) checkLabelCount(oneLine(path), labels, clip.frameCount);
  return labels;
}

async function labelsIn(path: string, clip: Clip): Promise<Uint8Array> {
  if (/\.npy$/i.test(path)) return labelsOfNpy(await readNpyHeader(path));
  if (/\.mat$/i.test(path)) {
    const truth = await matTruth(path);
    return "labels" in truth ? labelsOfValues(truth.labels, path) : truth.masks.labels();
  }
  const text = await readTextLabels(path);
  return "labels" in text ? text.labels : labelsOfFrames(text.ranges, await frameCountOf(clip));
}

/**
 * A reader of a video's masks by frame position, from a .npy or .mat file with one mask per frame.
 * Of a .npy file it reads one mask at a time. It throws an InputError if the file cannot be read,
 * or does not fit the video.
 */
export function maskFileReader(path: string, clip: Clip): (frame: number) => Promise<PixelMask> {
  const read = /\.npy$/i.test(path) ? npyMasks(path, clip) : matMasks(path);
  return async (frame) => {
    const { count, width, height, mask } = await read();
    checkMaskCount(path, count, clip);
    await checkMaskSize(path, { width, height }, clip);
    if (!Number.isSafeInteger(frame) || frame < 0 || frame >= count) {
      throw new InputError(`${oneLine(path)} has ${counted(count, "mask")}: none for the frame at position ${frame}`);
    }
    return { width, height, data: await mask(frame) };
  };
}

/** Masks of a video. */
interface Masks {
  count: number;
  width: number;
  height: number;
  mask(frame: number): Uint8Array | Promise<Uint8Array>;
}

function checkMaskCount(path: string, count: number, { frameCount }: Clip): void {
  if (frameCount !== undefined && count !== frameCount) {
    throw new InputError(
      `${oneLine(path)} has ${counted(count, "mask")}, but its video has ${counted(frameCount, "frame")}`,
    );
  }
}

function npyMasks(path: string, clip: Clip): () => Promise<Masks> {
  let masks: Promise<Masks> | undefined;
  const open = async (): Promise<Masks> => {
    const file = await readNpyMasks(path);
    const { count, width, height } = file;
    // Before anything as large as the masks is read.
    checkMaskCount(path, count, clip);
    await checkMaskSize(path, file, clip);
    return { count, width, height, mask: (frame) => maskOfNpy(file, frame) };
  };
  return () => {
    masks ??= open();
    return masks;
  };
}

function matMasks(path: string): () => Promise<Masks> {
  return async () => {
    const truth = await matTruth(path);
    if ("labels" in truth) throw new InputError(`${oneLine(path)} holds labels, not masks`);
    const { masks } = truth;
    return { count: masks.length, width: masks.width, height: masks.height, mask: (frame) => masks.mask(frame) };
  };
}

/** Whether a .npy file seems to hold masks, not labels. A file that cannot be read does not. */
export async function holdsMasks(path: string): Promise<boolean> {
  return readNpyMasks(path).then(
    () => true,
    () => false,
  );
}

/**
 * .mat files whose content is kept in memory, the last one last: masks are asked for one by one.
 */
const recent: { key: string; truth: Promise<MatTruth> }[] = [];
const MOST_RECENT = 4;

async function matTruth(path: string): Promise<MatTruth> {
  const { size, mtimeMs } = await stat(path).catch((error: unknown) => {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  });
  const key = `${size} ${mtimeMs} ${path}`;
  const at = recent.findIndex((file) => file.key === key);
  const [file] = at >= 0 ? recent.splice(at, 1) : [{ key, truth: readMatTruth(path) }];
  // What cannot be read is read again: it may be there the next time.
  file.truth.catch(() => recent.splice(0, recent.length, ...recent.filter((other) => other !== file)));
  recent.push(file);
  if (recent.length > MOST_RECENT) recent.shift();
  return file.truth;
}
