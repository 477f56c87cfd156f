// Pixel masks of a video as a folder of images.
import { open } from "node:fs/promises";
import type { PixelMask } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { listFrameFiles } from "../media/frame_folder.js";
import { imageFormat, readImage } from "../media/images.js";
import { type Clip, frameNumber } from "./clip.js";

/**
 * A reader of a video's masks by frame position, from a folder of images whose numbers are the
 * frames'. A pixel is abnormal (1) if any of its channels is not 0; in a JPEG or lossy WebP, whose
 * edges ring, from 128 on. The reader throws an InputError if a frame has no mask, or if an image
 * cannot be read, has another size than the frames, or is lossy and has only smaller values.
 */
export function maskReader(folder: string, clip: Clip): (frame: number) => Promise<PixelMask> {
  let listed: Promise<Map<number, string>> | undefined;
  return async (frame) => {
    listed ??= listMasks(folder, clip);
    const number = frameNumber(clip, frame);
    const path = (await listed).get(number);
    if (path === undefined) throw new InputError(`${oneLine(folder)} has no mask for the frame number ${number}`);
    const { data, width, height } = await readImage(path);
    await checkMaskSize(path, { width, height }, clip);
    const least = (await isLossy(path)) ? LEAST_LOSSY : 1;
    const mask = new Uint8Array(width * height);
    let largest = 0;
    for (let i = 0; i < mask.length; i++) {
      const value = Math.max(data[3 * i], data[3 * i + 1], data[3 * i + 2]);
      if (value >= least) mask[i] = 1;
      if (value > largest) largest = value;
    }
    if (largest > 0 && largest < least) {
      throw new InputError(
        `${oneLine(path)} is compressed with loss and has values up to ${largest}: masks of such images are ` +
          "0 and 255, and pixels from 128 on count; save it as PNG",
      );
    }
    return { width, height, data: mask };
  };
}

/** From this value on, a pixel of an image that is compressed with loss is abnormal. */
const LEAST_LOSSY = 128;

/** Whether an image is a JPEG or a WebP with loss, by its first bytes. */
async function isLossy(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    const start = buffer.subarray(0, bytesRead);
    const format = imageFormat(start);
    return format === "jpeg" || (format === "webp" && start.includes("VP8 "));
  } finally {
    await file.close();
  }
}

/** @throws InputError if a mask has another size than the frames of its video */
export async function checkMaskSize(path: string, mask: { width: number; height: number }, clip: Clip): Promise<void> {
  const { width, height } = await clip.size();
  if (mask.width !== width || mask.height !== height) {
    throw new InputError(
      `${oneLine(path)} is ${mask.width}×${mask.height} pixels, but the frames of its video are ${width}×${height}`,
    );
  }
}

async function listMasks(folder: string, clip: Clip): Promise<Map<number, string>> {
  const masks = new Map((await listFrameFiles(folder)).map((file) => [file.number, file.path]));
  const missing = (clip.numbers ?? []).filter((number) => !masks.has(number));
  if (missing.length > 0) {
    throw new InputError(
      `${oneLine(folder)} has no mask for the frame number ${namesInShort(missing.map(String))}, ` +
        `but ${masks.size} others; a mask must have its frame's number`,
    );
  }
  return masks;
}
