// Images of a folder as frames that ffmpeg takes: of even sides, and not too large.
import sharp from "sharp";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import type { NewFile } from "../../node/media/growing_folder.js";
import { readImage } from "../../node/media/images.js";

/** height × width × 3 bytes: B, G, R. */
export interface Image {
  data: Uint8Array;
  width: number;
  height: number;
}

/** In bytes. */
const LARGEST_FILE = 64 * 2 ** 20;
/** Larger images are scaled down to it, in pixels. */
const LARGEST = { width: 1920, height: 1080 };

/** @throws InputError with the file's name if it is no image, or too large */
export async function loadImage({ path, size }: NewFile): Promise<Image> {
  if (size > LARGEST_FILE) throw new InputError(`${oneLine(path)} is too large for an image: ${size} bytes`);
  const image = await readImage(path);
  const factor = Math.min(1, LARGEST.width / image.width, LARGEST.height / image.height);
  // The encoder of recordings needs even sides.
  const even = (side: number) => Math.max(2, 2 * Math.round((factor * side) / 2));
  const [width, height] = [even(image.width), even(image.height)];
  return { data: await scaled(image, width, height), width, height };
}

/** The bytes of an image at another size, in pixels. */
export async function scaled({ data, width, height }: Image, toWidth: number, toHeight: number): Promise<Buffer> {
  if (width === toWidth && height === toHeight) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const raw = sharp(data, { raw: { width, height, channels: 3 } });
  return raw.resize(toWidth, toHeight, { fit: "fill" }).raw().toBuffer();
}
