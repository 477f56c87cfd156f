// The original's synthetic anomalies from UBnormal: cut out, blur, paste (docs/method.md §7).

import type { BgrImage } from "../resize.js";

/** Size in pixels at which the original pastes objects of UBnormal. */
export const anomalySize = { height: 320, width: 640 };
/**
 * A cut-out sequence ends before the first frame whose mask covers fewer values, of all three
 * channels at source size.
 */
export const leastObjectValues = 800;
/** A mask that covers more values, of all three channels at {@link anomalySize}, is not pasted. */
export const mostCoveredValues = 5000;

/**
 * Cuts an object out of a frame: the pixels with its number in the annotation, and a mask of 0 and
 * 255.
 * @param numbers the annotation, one value per pixel, at least as large as the frame; the rest is
 *   ignored
 * @returns undefined if the mask covers fewer values than {@link leastObjectValues}
 */
export function cutObject(
  frame: BgrImage,
  numbers: Readonly<{ data: Uint8Array; width: number; height: number }>,
  object: number,
): { cutOut: BgrImage; mask: BgrImage } | undefined {
  const { width, height } = frame;
  const cutOut = new Uint8Array(frame.data.length);
  const mask = new Uint8Array(frame.data.length);
  let count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (numbers.data[y * numbers.width + x] !== object) continue;
      const at = (y * width + x) * 3;
      mask.fill(255, at, at + 3);
      cutOut.set(frame.data.subarray(at, at + 3), at);
      count += 3;
    }
  }
  if (count < leastObjectValues) return undefined;
  return { cutOut: { data: cutOut, width, height }, mask: { data: mask, width, height } };
}

/** The number of a mask's values that are not 0. Soft edges from resizing count. */
export function coveredValues(mask: BgrImage): number {
  return mask.data.reduce((count, value) => count + (value === 0 ? 0 : 1), 0);
}

/**
 * Pastes a cut-out: the frame, set to 0 where the mask is not 0, plus the cut-out in grayscale,
 * blurred by a 3×3 Gaussian. The sum saturates; the original's wraps around. All three have the
 * same size.
 */
export function pasteCutOut(frame: BgrImage, mask: BgrImage, cutOut: BgrImage): BgrImage {
  const { width, height } = frame;
  const blurred = gaussianBlur3(grayscale(cutOut), width, height);
  const data = frame.data.map((value, i) =>
    Math.min(255, (mask.data[i] === 0 ? value : 0) + blurred[Math.floor(i / 3)]),
  );
  return { data, width, height };
}

/**
 * Luma as in libpng: weights 0.299, 0.587 and the rest, in units of 1/32768, rounded down. The
 * original reads cut-outs with OpenCV's imread, which uses libpng.
 */
function grayscale({ data }: BgrImage): Uint8Array {
  const gray = new Uint8Array(data.length / 3);
  for (let i = 0, at = 0; i < gray.length; i++, at += 3) {
    gray[i] = (3737 * data[at] + 19234 * data[at + 1] + 9797 * data[at + 2]) >> 15;
  }
  return gray;
}

/**
 * OpenCV's GaussianBlur of one channel with a 3×3 kernel: (1, 2, 1)/4 in both directions. The image
 * is reflected at the border without repeating the border.
 */
function gaussianBlur3(image: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(image.length);
  const reflected = (i: number, count: number) => (count === 1 ? 0 : i < 0 ? 1 : i === count ? count - 2 : i);
  for (let y = 0; y < height; y++) {
    const rows = [reflected(y - 1, height), y, reflected(y + 1, height)].map((row) => row * width);
    const column = (x: number) => image[rows[0] + x] + 2 * image[rows[1] + x] + image[rows[2] + x];
    for (let x = 0; x < width; x++) {
      const sum = column(reflected(x - 1, width)) + 2 * column(x) + column(reflected(x + 1, width));
      out[y * width + x] = (sum + 8) >> 4;
    }
  }
  return out;
}
