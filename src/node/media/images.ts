// Reads image files (PNG, JPEG, TIFF, BMP, WebP) as OpenCV's imread does.
import { readFile, stat } from "node:fs/promises";
import { decode as decodeFastBmp } from "fast-bmp";
import sharp from "sharp";
import { MAX_FRAME_SIDE, toBgr } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseStandInBytes } from "../files/stand_in.js";
import { type DecodedImage, decodePng, pngSize } from "./png.js";

export type { DecodedImage } from "./png.js";

/** The formats that can be read. */
export type ImageFormat = "png" | "jpeg" | "tiff" | "webp" | "bmp";

/** The format by a file's first bytes, whatever its name says; undefined if it is not read here. */
export function imageFormat(bytes: Uint8Array): ImageFormat | undefined {
  const starts = (text: string, at = 0) => [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0));
  if (starts("\x89PNG\r\n\x1a\n")) return "png";
  if (starts("\xff\xd8\xff")) return "jpeg";
  // Classic TIFF and BigTIFF, in both byte orders.
  if (starts("II*\0") || starts("MM\0*") || starts("II+\0") || starts("MM\0+")) return "tiff";
  if (starts("RIFF") && starts("WEBP", 8)) return "webp";
  // The size of the information header is tested too: a text may begin with "BM".
  if (starts("BM") && bytes.length > 18 && BMP_HEADER_SIZES.has(bytes[14]) && starts("\0\0\0", 15)) return "bmp";
  return undefined;
}

/**
 * Reads an image file as OpenCV's imread does by default: B, G, R bytes; gray replicated; palettes
 * expanded; alpha dropped; 16 bits reduced to 8 by dropping the low byte; turned upright by its
 * EXIF orientation; colour profiles ignored. Of several pages or animation frames the first is
 * taken.
 * @throws InputError with the file's name, if it cannot be read, is not an image, is damaged or cut
 * off, or has a side over 16384 pixels
 */
export async function readImage(path: string): Promise<DecodedImage> {
  let bytes: Uint8Array;
  try {
    // A pipe or a device could block the reader for ever.
    if (!(await stat(path)).isFile()) throw new Error("it is not a file");
    bytes = await readFile(path);
  } catch (error) {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
  return decodeImage(bytes, path);
}

/**
 * {@link readImage} for bytes in memory; messages call them `name`.
 * @throws InputError as readImage does
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<DecodedImage> {
  const shown = oneLine(name);
  if (bytes.length === 0) throw new InputError(`${shown} is an empty file, not an image`);
  const format = imageFormat(bytes);
  if (!format) {
    refuseStandInBytes(bytes, name);
    throw new InputError(`${shown} is not a PNG, JPEG, TIFF, BMP or WebP image`);
  }
  try {
    if (format === "png") {
      checkSide(pngSize(bytes));
      // sharp decodes the kinds that png-js cannot (see decodePng).
      return (await decodePng(bytes)) ?? (await decodeBySharp(bytes));
    }
    if (format === "bmp") return decodeBmp(bytes);
    return await decodeBySharp(bytes);
  } catch (error) {
    const kind = { png: "PNG", jpeg: "JPEG", tiff: "TIFF", webp: "WebP", bmp: "BMP" }[format];
    throw new InputError(`${shown} cannot be decoded as ${kind}: ${reasonOf(error)}`);
  }
}

async function decodeBySharp(bytes: Uint8Array): Promise<DecodedImage> {
  const image = sharp(bytes, { failOn: "error", limitInputPixels: MAX_FRAME_SIDE ** 2, ignoreIcc: true });
  checkSide(await image.metadata());
  const { data, info } = await image
    .autoOrient()
    .removeAlpha()
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  const format = info.channels === 1 ? "gray" : info.channels === 3 ? "rgb" : undefined;
  if (!format) throw new Error(`it has ${info.channels} channels; only gray, RGB and RGBA are read`);
  return { data: toBgr(data, format), width: info.width, height: info.height };
}

const BMP_HEADER_SIZES = new Set([12, 40, 52, 56, 64, 108, 124]);
const BMP_RGB = 0;
const BMP_BITFIELDS = 3;
const STANDARD_MASKS = [0xff0000, 0xff00, 0xff];

/**
 * Decodes a BMP with fast-bmp: uncompressed files of 1, 8, 24 and 32 bits per pixel; 4 and 16 bits
 * and run lengths are refused. fast-bmp unpacks the pixel rows, but knows neither palettes nor rows
 * stored from the top, and takes a plain 32-bit file's pixels for colour masks. So it gets the rows
 * behind a header that it understands; the rest is done here.
 */
function decodeBmp(bytes: Uint8Array): DecodedImage {
  const header = bmpHeader(bytes);
  const { width, signedHeight, bits } = header;
  const bgr = bits >= 24 ? toBgr(bmpRows(bytes, header), bits === 24 ? "rgb" : "rgba") : bmpPalette(bytes, header);
  return { data: signedHeight < 0 ? flipRows(bgr, width * 3) : bgr, width, height: Math.abs(signedHeight) };
}

/** The checked header of a BMP; sizes in bytes. */
interface BmpHeader {
  headerBytes: number;
  pixelsAt: number;
  rowBytes: number;
  width: number;
  /** Negative if rows are stored from the top. */
  signedHeight: number;
  /** Bits per pixel. */
  bits: number;
}

/** @throws Error if it is damaged, cut off, or of a kind that is not read here */
function bmpHeader(bytes: Uint8Array): BmpHeader {
  if (bytes.length < 54) throw new Error("it is cut off in its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = view.getUint32(14, true);
  if (headerBytes < 40) throw new Error("it has the header of OS/2; save it as a Windows BMP or a PNG");
  const pixelsAt = view.getUint32(10, true);
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  const bits = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  checkSide({ width, height });
  if (![1, 8, 24, 32].includes(bits) || (compression !== BMP_RGB && !(compression === BMP_BITFIELDS && bits === 32))) {
    throw new Error(`${bits} bits per pixel with compression ${compression} are not read; save it as PNG`);
  }
  if (compression === BMP_BITFIELDS) {
    if (bytes.length < 66) throw new Error("it is cut off in its header");
    if (STANDARD_MASKS.some((mask, i) => view.getUint32(54 + 4 * i, true) !== mask)) {
      throw new Error("its colour masks are unusual; save it as PNG");
    }
  }
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (pixelsAt < 14 + headerBytes || pixelsAt + rowBytes * height > bytes.length) throw new Error("it is cut off");
  return { headerBytes, pixelsAt, rowBytes, width, signedHeight, bits };
}

/**
 * The pixels by fast-bmp: [height, width] values of 1, 3 or 4 bytes (an index, RGB, RGBA). Rows
 * that are stored from the top come out upside down.
 */
function bmpRows(bytes: Uint8Array, { pixelsAt, rowBytes, width, signedHeight, bits }: BmpHeader): Uint8Array {
  const height = Math.abs(signedHeight);
  const plain = new Uint8Array(66 + rowBytes * height);
  const out = new DataView(plain.buffer);
  plain.set([0x42, 0x4d]);
  out.setUint32(10, 66, true);
  out.setUint32(14, 40, true);
  out.setUint32(18, width, true);
  out.setUint32(22, height, true);
  out.setUint16(28, bits, true);
  STANDARD_MASKS.forEach((mask, i) => {
    out.setUint32(54 + 4 * i, mask, true);
  });
  plain.set(bytes.subarray(pixelsAt, pixelsAt + rowBytes * height), 66);
  return decodeFastBmp(plain).data as Uint8Array;
}

/** The pixels of a BMP with a palette: B, G, R bytes. */
function bmpPalette(bytes: Uint8Array, header: BmpHeader): Uint8Array {
  const { headerBytes, pixelsAt, bits, width, signedHeight } = header;
  const indices = bmpRows(bytes, header);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const colors = Math.min(view.getUint32(46, true) || 1 << bits, 1 << bits);
  const palette = bytes.subarray(14 + headerBytes, Math.min(14 + headerBytes + colors * 4, pixelsAt));
  const bgr = new Uint8Array(width * Math.abs(signedHeight) * 3);
  for (let i = 0, o = 0; o < bgr.length; i++) {
    const entry = indices[i] * 4;
    bgr[o++] = palette[entry] ?? 0;
    bgr[o++] = palette[entry + 1] ?? 0;
    bgr[o++] = palette[entry + 2] ?? 0;
  }
  return bgr;
}

function flipRows(data: Uint8Array, rowBytes: number): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += rowBytes) {
    out.set(data.subarray(at, at + rowBytes), data.length - rowBytes - at);
  }
  return out;
}

function checkSide({ width, height }: { width?: number; height?: number }): void {
  if (!width || !height || width < 0) throw new Error(`its size, ${width}×${height} pixels, is impossible`);
  if (width > MAX_FRAME_SIDE || height > MAX_FRAME_SIDE) {
    throw new Error(`it is ${width}×${height} pixels; a side may have at most ${MAX_FRAME_SIDE}`);
  }
}
