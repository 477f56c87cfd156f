// Decodes PNG images with png-js, behind checks that make it safe for damaged files.
import { crc32, deflateSync, inflate } from "node:zlib";
import PNG from "png-js";
import { toBgr } from "../../data/frame.js";

/** A decoded image: `data` is [height, width, 3] bytes, B, G, R, row-major. */
export interface DecodedImage {
  data: Uint8Array;
  width: number;
  height: number;
}

const IHDR_END = 33;
/** Samples per pixel by colour type: gray, RGB, palette, gray and alpha, RGBA. */
const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Bytes that a sloppy encoder may have left behind the last row; more is an error. */
const SLACK_BYTES = 65536;

/**
 * Width and height in pixels, from the IHDR chunk, unchecked.
 * @throws Error if the header is cut off
 */
export function pngSize(bytes: Uint8Array): { width: number; height: number } {
  if (bytes.length < IHDR_END) throw new Error("it is cut off in its header");
  const view = viewOf(bytes);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/**
 * Decodes a PNG of 8 or 16 bits per sample. Returns undefined for the kinds that png-js gets wrong
 * (found by tests against libpng): interlaced images (wrong below 5 pixels of width), fewer than 8
 * bits per sample (never unpacked), and an EXIF chunk (it ignores the orientation).
 *
 * png-js trusts its input. A chunk length can make its constructor loop for ever; an error of zlib
 * or a wrong filter byte is thrown in a callback and ends the process. So the chunks are read and
 * the pixels inflated here, within the size that the header gives. Then png-js gets a header and a
 * stored (not compressed) stream, both checked.
 * @throws Error with a short reason if the file is damaged
 */
export async function decodePng(bytes: Uint8Array): Promise<DecodedImage | undefined> {
  const { width, height } = pngSize(bytes);
  const chunks = readChunks(bytes);
  const [bits, colorType, compression, filter, interlaced] = bytes.subarray(24, 29);
  const samples = SAMPLES[colorType];
  if (samples === undefined || compression !== 0 || filter !== 0) throw new Error("its header is damaged");
  if ((bits !== 8 && bits !== 16) || interlaced !== 0 || chunks.exif) return undefined;
  if (colorType === 3 && (bits !== 8 || !chunks.palette)) throw new Error("it has no palette");

  const rowBytes = 1 + (width * samples * bits) / 8;
  const raw = await inflateExactly(chunks.idat, rowBytes * height);
  for (let at = 0; at < raw.length; at += rowBytes) {
    if (raw[at] > 4) throw new Error("its pixel data is damaged (a row has an unknown filter)");
  }
  const png = new PNG(concat([bytes.subarray(0, IHDR_END), END_CHUNK]));
  png.imgData = deflateSync(raw, { level: 0 });
  const pixels = await new Promise<Uint8Array>((resolve) => png.decodePixels(resolve));
  return { data: samplesToBgr(pixels, colorType, bits, chunks.palette), width, height };
}

function samplesToBgr(pixels: Uint8Array, colorType: number, bits: number, palette?: Uint8Array): Uint8Array {
  // 16-bit samples are big-endian: the first of two bytes is the sample >> 8.
  let values = pixels;
  if (bits === 16) {
    values = new Uint8Array(pixels.length / 2);
    for (let i = 0; i < values.length; i++) values[i] = pixels[2 * i];
  }
  if (colorType === 3) return paletteToBgr(values, palette!);
  if (colorType === 4) {
    const gray = new Uint8Array(values.length / 2);
    for (let i = 0; i < gray.length; i++) gray[i] = values[2 * i];
    return toBgr(gray, "gray");
  }
  return toBgr(values, colorType === 0 ? "gray" : colorType === 2 ? "rgb" : "rgba");
}

/** An index beyond the palette is black, as in libpng. */
function paletteToBgr(indices: Uint8Array, palette: Uint8Array): Uint8Array {
  const out = new Uint8Array(indices.length * 3);
  for (let i = 0, o = 0; i < indices.length; i++, o += 3) {
    const entry = indices[i] * 3;
    out[o] = palette[entry + 2] ?? 0;
    out[o + 1] = palette[entry + 1] ?? 0;
    out[o + 2] = palette[entry] ?? 0;
  }
  return out;
}

function readChunks(bytes: Uint8Array): { idat: Uint8Array; palette?: Uint8Array; exif: boolean } {
  const view = viewOf(bytes);
  const idat: Uint8Array[] = [];
  let palette: Uint8Array | undefined;
  let exif = false;
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw new Error("it is cut off");
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (length > bytes.length - at - 12) throw new Error(`it is cut off in a chunk ${printable(type)}`);
    if (at === 8 && (type !== "IHDR" || length !== 13)) throw new Error("its header is damaged");
    // Chunks whose name begins with a capital letter are critical. As in libpng, others may be
    // damaged.
    const critical = bytes[at + 4] >= 0x41 && bytes[at + 4] <= 0x5a;
    if (critical && crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new Error(`its chunk ${printable(type)} is damaged (wrong checksum)`);
    }
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (type === "IDAT") idat.push(content);
    else if (type === "PLTE") palette = content;
    else if (type === "eXIf") exif = true;
    else if (type === "IEND") break;
    at += 12 + length;
  }
  if (idat.length === 0) throw new Error("it has no pixel data");
  return { idat: concat(idat), exif, ...(palette ? { palette } : {}) };
}

function inflateExactly(data: Uint8Array, length: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    inflate(data, { maxOutputLength: length + SLACK_BYTES }, (error, out) => {
      if (error) reject(new Error(`its pixel data is damaged (${error.message})`));
      else if (out.length < length) reject(new Error("its pixel data ends early"));
      else resolve(out.subarray(0, length));
    });
  });
}

const END_CHUNK = new Uint8Array([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);

function concat(parts: Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function printable(type: string): string {
  return /^[A-Za-z]{4}$/.test(type) ? type : "of unknown type";
}
