// PNG images whose pixels are numbers, such as UBnormal's maps of objects.
import { readFile, stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseStandInBytes } from "../files/stand_in.js";
import { decodeImage, imageFormat } from "./images.js";

const SIGNATURE_BYTES = 8;
const IHDR_BYTES = 25;
const GRAY = 0;
const PALETTE = 3;

/** An image whose pixels are numbers, not colours. */
export interface ValueImage {
  width: number;
  height: number;
  /** [height, width], row-major: a value per pixel. */
  data: Uint8Array;
}

/**
 * Reads a PNG whose pixels are numbers (of objects, of classes). The number is a gray sample as
 * stored (1, 2, 4 or 8 bits), an index of a palette, or the value that three channels share. An
 * image reader would scale gray samples, and replace an index by its colour.
 * @throws InputError if it cannot be read, is not a PNG, has 16 bits per sample, or is in colour
 */
export async function readPngValues(path: string): Promise<ValueImage> {
  const shown = oneLine(path);
  let bytes: Uint8Array;
  try {
    if (!(await stat(path)).isFile()) throw new Error("it is not a file");
    bytes = await readFile(path);
  } catch (error) {
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}`);
  }
  if (imageFormat(bytes) !== "png" || bytes.length < SIGNATURE_BYTES + IHDR_BYTES) {
    refuseStandInBytes(bytes, path);
    throw new InputError(`${shown} is not a PNG image; an image of numbers must be a PNG`);
  }
  const [bits, colorType] = bytes.subarray(24, 26);
  if (bits > 8) throw new InputError(`${shown} has ${bits} bits per sample; an image of numbers has at most 8`);
  const isIndexed = colorType === PALETTE || (colorType === GRAY && bits < 8);
  const { data, width, height } = await decodeImage(isIndexed ? withIdentityPalette(bytes, bits) : bytes, path);
  const values = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < values.length; i++, at += 3) {
    const value = data[at];
    if (data[at + 1] !== value || data[at + 2] !== value) {
      throw new InputError(
        `${shown} is in colour at pixel ${i % width},${Math.floor(i / width)}; an image of numbers is gray or has a palette`,
      );
    }
    values[i] = value;
  }
  return { width, height, data: values };
}

/**
 * The same pixels with a palette whose entry i is the gray value i, so that any decoder gives the
 * numbers. Damage is left for the decoder to find.
 */
function withIdentityPalette(bytes: Uint8Array, bits: number): Uint8Array {
  const header = bytes.subarray(SIGNATURE_BYTES + 8, SIGNATURE_BYTES + 21).slice();
  header[9] = PALETTE;
  const palette = Uint8Array.from({ length: 3 * 2 ** bits }, (_, i) => Math.floor(i / 3));
  const parts = [bytes.subarray(0, SIGNATURE_BYTES), chunk("IHDR", header), chunk("PLTE", palette)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE_BYTES + IHDR_BYTES; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === "IDAT" || type === "IEND") parts.push(bytes.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const out = Buffer.alloc(12 + content.length);
  out.writeUInt32BE(content.length);
  out.write(type, 4, "latin1");
  out.set(content, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + content.length)), 8 + content.length);
  return out;
}
