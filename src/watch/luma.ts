// Small gray pictures, from which the state of the camera is judged.
import { InputError } from "../errors.js";

/** A gray picture. */
export interface LumaPicture {
  /** Gray levels 0…255, row-major, width × height. */
  data: Uint8Array;
  /** Pixels. */
  width: number;
  height: number;
}

/** The shares of blue, green and red in the luma of BT.601. */
const [BLUE, GREEN, RED] = [0.114, 0.587, 0.299];

/**
 * Makes a small gray picture of a colour frame: each pixel is the mean luma (BT.601) of the area
 * that it covers.
 * @param bgr 8-bit B, G, R, interleaved, row-major
 * @param width of the frame, in pixels
 * @param height of the frame, in pixels
 * @param toWidth of the picture, in pixels; 96 is usual
 * @param toHeight of the picture, in pixels; 54 is usual
 * @throws InputError if a size is not a whole number from 1, or the bytes do not fit the frame
 */
export function lumaPicture(
  bgr: Uint8Array,
  width: number,
  height: number,
  toWidth: number,
  toHeight: number,
): LumaPicture {
  for (const size of [width, height, toWidth, toHeight]) {
    if (!(Number.isSafeInteger(size) && size >= 1)) throw new InputError(`${size} is not a picture's size in pixels`);
  }
  if (bgr.length !== 3 * width * height) {
    throw new InputError(`a frame of ${width}×${height} has ${3 * width * height} bytes, not ${bgr.length}`);
  }
  const columns = coverage(width, toWidth);
  const data = new Uint8Array(toWidth * toHeight);
  const [luma, sums] = [new Float64Array(width), new Float64Array(toWidth)];
  for (const [toRow, { first, shares }] of coverage(height, toHeight).entries()) {
    sums.fill(0);
    for (let i = 0; i < shares.length; i++) {
      readLuma(bgr, (first + i) * width, luma);
      addMeans(luma, columns, shares[i], sums);
    }
    for (let x = 0; x < toWidth; x++) data[toRow * toWidth + x] = Math.round(sums[x]);
  }
  return { data, width: toWidth, height: toHeight };
}

/** The pixels that a pixel of the picture covers, in one direction; the shares sum to 1. */
interface Cover {
  first: number;
  shares: Float64Array;
}

function coverage(from: number, to: number): Cover[] {
  const length = from / to;
  return Array.from({ length: to }, (_, i) => {
    const [begin, end] = [i * length, Math.min(from, (i + 1) * length)];
    const first = Math.min(from - 1, Math.floor(begin));
    const count = Math.max(1, Math.ceil(end) - first);
    const covered = (k: number) => Math.max(0, Math.min(end, first + k + 1) - Math.max(begin, first + k));
    return { first, shares: Float64Array.from({ length: count }, (_, k) => covered(k) / length) };
  });
}

/** Reads the luma of a row of pixels, of which `first` is the first. */
function readLuma(bgr: Uint8Array, first: number, luma: Float64Array): void {
  for (let x = 0, at = 3 * first; x < luma.length; x++, at += 3) {
    luma[x] = BLUE * bgr[at] + GREEN * bgr[at + 1] + RED * bgr[at + 2];
  }
}

/** Adds the means of a row, times the row's share. */
function addMeans(luma: Float64Array, columns: readonly Cover[], share: number, sums: Float64Array): void {
  for (let x = 0; x < columns.length; x++) {
    const { first, shares } = columns[x];
    let mean = 0;
    for (let i = 0; i < shares.length; i++) mean += shares[i] * luma[first + i];
    sums[x] += share * mean;
  }
}
