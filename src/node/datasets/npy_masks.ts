// Masks of a video in a .npy file, frames × height × width, and labels, a value per frame.
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { labelsOfValues } from "./labels_file.js";
import { markNonZero, type NpyHeader, readNpyBytes, readNpyHeader, readNpyValues, shapeText } from "./npy_file.js";

/** Bytes that are read at once. */
const PIECE = 4 * 2 ** 20;
/** Most memory for the masks of a file in Fortran order, in bytes: a bit per pixel. */
const MOST_BITS = 256 * 2 ** 20;
/** Most bytes of one mask. */
const MOST_MASK = 256 * 2 ** 20;
/** Most frames of a video. */
const MOST_FRAMES = 2 ** 24;

/** A .npy file of masks. */
export interface NpyMasks {
  header: NpyHeader;
  count: number;
  width: number;
  height: number;
  /** In Fortran order, a frame is spread over the whole file: then all masks, a bit per pixel. */
  bits?: Promise<Uint8Array>;
}

/** The shape without axes of length 1 at its end, which leave out nothing. */
function squeezed({ shape }: NpyHeader, least: number): number[] {
  const sizes = [...shape];
  while (sizes.length > least && sizes.at(-1) === 1) sizes.pop();
  return sizes;
}

/**
 * Reads the header of a .npy file of masks; a pixel that is not 0 is abnormal.
 * @throws InputError as readNpyHeader does, and if it is not frames × height × width
 */
export async function readNpyMasks(path: string): Promise<NpyMasks> {
  const header = await readNpyHeader(path);
  const shape = squeezed(header, 3);
  const [count, height, width] = shape;
  if (shape.length !== 3 || header.count === 0 || width * height * header.itemSize > MOST_MASK) {
    throw new InputError(
      `${oneLine(path)} has the shape ${shapeText(header.shape)}: masks are frames × height × width`,
    );
  }
  return { header, count, width, height };
}

/** A frame's mask, 0 or 1 per pixel, row-major. @throws InputError if it cannot be read */
export async function maskOfNpy(masks: NpyMasks, frame: number): Promise<Uint8Array> {
  const { header, width, height } = masks;
  const out = new Uint8Array(width * height);
  if (header.isFortran) {
    masks.bits ??= readBits(masks);
    const bits = await masks.bits;
    // Frames change fastest, then rows, then columns.
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        const at = frame + masks.count * (y + height * x);
        out[y * width + x] = (bits[at >>> 3] >>> (at & 7)) & 1;
      }
    }
    return out;
  }
  const bytes = out.length * header.itemSize;
  markNonZero(await readNpyBytes(header, header.offset + frame * bytes, bytes), 0, header, out);
  return out;
}

/** @throws InputError if there are too many pixels for memory */
async function readBits({ header }: NpyMasks): Promise<Uint8Array> {
  if (header.count > 8 * MOST_BITS) {
    throw new InputError(
      `${oneLine(header.path)} has ${header.count} values in Fortran order, too many for memory: ` +
        "save numpy.ascontiguousarray(masks)",
    );
  }
  const bits = new Uint8Array(Math.ceil(header.count / 8));
  await eachPiece(header, (marked, first) => {
    marked.forEach((value, i) => {
      if (value) bits[(first + i) >>> 3] |= 1 << ((first + i) & 7);
    });
  });
  return bits;
}

/** Walks through all values, in the file's order. */
async function eachPiece(header: NpyHeader, use: (marked: Uint8Array, first: number) => void): Promise<void> {
  const { count, itemSize, offset } = header;
  const most = PIECE / itemSize;
  for (let first = 0; first < count; first += most) {
    const marked = new Uint8Array(Math.min(most, count - first));
    markNonZero(await readNpyBytes(header, offset + first * itemSize, marked.length * itemSize), 0, header, marked);
    use(marked, first);
  }
}

/**
 * The labels of a video's frames: a vector of 0 and 1 (or 0 and 255, or booleans), or masks.
 * @throws InputError if the file cannot be read, or has another shape or other values
 */
export async function labelsOfNpy(header: NpyHeader): Promise<Uint8Array> {
  const { path, shape, count } = header;
  const long = shape.filter((size) => size !== 1);
  if (long.length <= 1 && shape.length >= 1) return labelsOfValues(await readNpyValues(header), path);
  const sizes = squeezed(header, 3);
  if (sizes.length !== 3 || count === 0 || sizes[0] > MOST_FRAMES) {
    throw new InputError(`${oneLine(path)} has the shape ${shapeText(shape)}: labels are one value per frame`);
  }
  const [frames] = sizes;
  const pixels = count / frames;
  const labels = new Uint8Array(frames);
  await eachPiece(header, (marked, first) => {
    for (let at = marked.indexOf(1); at >= 0; at = marked.indexOf(1, at + 1)) {
      const index = first + at;
      const frame = header.isFortran ? index % frames : Math.floor(index / pixels);
      labels[frame] = 1;
      // The rest of this frame's pixels does not matter.
      if (!header.isFortran) at = Math.min(marked.length, (frame + 1) * pixels - first) - 1;
    }
  });
  return labels;
}
