// Encodes frames as PNG images, and checks whether a PNG on disk is whole.
import { open, stat } from "node:fs/promises";
import sharp from "sharp";
import { toBgr } from "../../data/frame.js";
import { pngSize } from "./png.js";

const HEADER_BYTES = 33;
const END_BYTES = 12;

/**
 * Encodes a frame as an 8-bit RGB PNG. OpenCV's imread gives the same bytes back.
 * @param bgr [height, width, 3], B, G, R
 */
export function encodePng(bgr: Uint8Array, width: number, height: number): Promise<Buffer> {
  const rgb = toBgr(bgr, "rgb"); // the same swap both ways
  // A tenth larger than at the default level 6, in less than half of the time.
  return sharp(rgb, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 3 })
    .toBuffer();
}

/** Whether a file is a complete PNG of this size. Only its first and last bytes are read. */
export async function isWholePng(path: string, width: number, height: number): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile() || info.size < HEADER_BYTES + END_BYTES) return false;
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(HEADER_BYTES + END_BYTES);
    await file.read(bytes, 0, HEADER_BYTES, 0);
    await file.read(bytes, HEADER_BYTES, END_BYTES, info.size - END_BYTES);
    const size = pngSize(bytes);
    const hasEnds = bytes.toString("latin1", 1, 4) === "PNG" && bytes.toString("latin1", 37, 41) === "IEND";
    return hasEnds && size.width === width && size.height === height;
  } finally {
    await file.close();
  }
}
