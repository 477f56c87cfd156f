// Pixel masks of a video as a folder of images.
import type { PixelMask } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { listFrameFiles } from "../media/frame_folder.js";
import { readImage } from "../media/images.js";
import { type Clip, frameNumber } from "./clip.js";
import { namesInShort } from "./listing.js";

/**
 * A reader of a video's masks by frame position, from a folder of images whose numbers are the
 * frames'. A pixel is abnormal (1) if any of its channels is not 0. The reader throws an InputError
 * if a frame has no mask, or if an image cannot be read or has another size than the frames.
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
    const mask = new Uint8Array(width * height);
    for (let i = 0; i < mask.length; i++) mask[i] = data[3 * i] || data[3 * i + 1] || data[3 * i + 2] ? 1 : 0;
    return { width, height, data: mask };
  };
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
