import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import type { Frame } from "../../src/data/frame.js";

/** The size of the frames that are made here. */
export const size = { width: 16, height: 8 };

/** Writes a text file and the folders that it is in. */
export function text(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/**
 * Writes an image of one gray value, or of a value for each pixel; as PNG, TIFF or JPEG, by its
 * name.
 */
export async function image(path: string, value: number | readonly number[], { width, height } = size): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const values = typeof value === "number" ? Array<number>(width * height).fill(value) : value;
  await sharp(Uint8Array.from(values), { raw: { width, height, channels: 1 } }).toFile(path);
}

/** A gray image of zeros with rectangles of other values; corners inclusive. */
export function rectangles(...boxes: [value: number, x1: number, y1: number, x2: number, y2: number][]): number[] {
  return Array.from({ length: size.width * size.height }, (_, i) => {
    const [x, y] = [i % size.width, Math.floor(i / size.width)];
    return boxes.findLast(([, x1, y1, x2, y2]) => x >= x1 && x <= x2 && y >= y1 && y <= y2)?.[0] ?? 0;
  });
}

/** Frames whose gray value is their number, as NNN.png. */
export async function frames(folder: string, numbers: readonly number[], extension = "png"): Promise<void> {
  for (const number of numbers) await image(join(folder, `${String(number).padStart(3, "0")}.${extension}`), number);
}

/** All frames of a source, in order. */
export async function collect(frames: AsyncIterable<Frame>): Promise<Frame[]> {
  const all: Frame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}
