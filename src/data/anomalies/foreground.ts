// Finds moving objects in a video with a fixed camera, as differences from its median image.

import { type BgrImage, resizeBilinear } from "../resize.js";

/** A box: its centre and half its sides, in pixels. A pixel's centre is at +0.5. */
export interface Box {
  x: number;
  y: number;
  rx: number;
  ry: number;
}

/** A connected region of foreground. */
export interface Region extends Box {
  /** In pixels. */
  area: number;
}

/** Images are shrunk to this height, so that thresholds for sizes and noise fit every video. */
const workHeight = 240;

/**
 * Keeps at most 2 · `count` items of a series of unknown length, evenly spread over all items so
 * far.
 */
export class EvenSample<T> {
  readonly items: T[] = [];
  private stride = 1;
  private seen = 0;

  constructor(private readonly count: number) {}

  add(item: T): void {
    if (this.seen++ % this.stride !== 0) return;
    this.items.push(item);
    if (this.items.length <= 2 * this.count) return;
    this.stride *= 2;
    for (let i = 0; 2 * i < this.items.length; i++) this.items[i] = this.items[2 * i];
    this.items.length = Math.ceil(this.items.length / 2);
  }
}

/** Most grey levels by which the light may differ, as a share of the threshold. */
const mostLight = 0.75;

/** Milliseconds of work between two pauses that let timers and events run. */
const patienceMs = 30;

/**
 * The median of each value over images of the same size: the background behind moving things.
 * Pauses now and then.
 */
export async function medianImage(images: readonly BgrImage[]): Promise<BgrImage> {
  const { width, height } = images[0];
  const data = new Uint8Array(width * height * 3);
  const values = new Uint8Array(images.length);
  const middle = images.length >> 1;
  let pause = performance.now() + patienceMs;
  for (let i = 0; i < data.length; i++) {
    for (let k = 0; k < values.length; k++) values[k] = images[k].data[i];
    data[i] = values.sort()[middle];
    if ((i & 0x3fff) === 0 && performance.now() > pause) {
      await new Promise((resolve) => setTimeout(resolve));
      pause = performance.now() + patienceMs;
    }
  }
  return { data, width, height };
}

/** Finds objects that differ from a video's background. */
export class ForegroundFinder {
  private readonly background: BgrImage;
  /** Size of the shrunk images relative to the source's. */
  private readonly scale: number;
  /** A pixel is foreground if the mean difference of 5×5 pixels exceeds it, in grey levels. */
  readonly threshold: number;

  /** @param sample images of the video, to measure its noise */
  constructor(background: BgrImage, sample: readonly BgrImage[]) {
    this.scale = Math.min(1, workHeight / background.height);
    this.background = this.shrink(background);
    const counts = new Uint32Array(256);
    for (const image of sample) for (const d of this.difference(image).values) counts[d]++;
    this.threshold = Math.min(60, Math.max(14, 3 * medianOf(counts) + 8));
  }

  /**
   * Connected regions of foreground, in pixels of the source. They are whole (they touch no
   * border), neither specks nor crowds, compact, and have no other foreground beside them. None, if
   * the light differs so much from the background's that pasting would take one for the other.
   */
  objects(image: BgrImage): Region[] {
    const { width, height } = this.background;
    const { values, light } = this.difference(image);
    if (light > mostLight * this.threshold) return [];
    const means = boxMean5(values, width, height);
    const regions = connectedRegions(
      means.map((mean) => (mean > this.threshold ? 1 : 0)),
      width,
      height,
    );
    return regions
      .filter((region) => {
        const { x, y, rx, ry, area } = region;
        if (regions.some((other) => other !== region && other.area > 0.05 * area && overlap(region, other)))
          return false;
        const inside = x - rx >= 2 && y - ry >= 2 && x + rx <= width - 2 && y + ry <= height - 2;
        const sized = 2 * ry >= 0.05 * height && 2 * ry <= 0.5 * height && 2 * rx >= 4 && 2 * rx <= 0.4 * width;
        return inside && sized && area >= 0.35 * 4 * rx * ry;
      })
      .map(({ x, y, rx, ry, area }) => {
        const s = this.scale;
        return { x: x / s, y: y / s, rx: rx / s, ry: ry / s, area: area / s ** 2 };
      });
  }

  private shrink(image: BgrImage): BgrImage {
    const size = { height: Math.round(image.height * this.scale), width: Math.round(image.width * this.scale) };
    return resizeBilinear(image, size);
  }

  /**
   * Each pixel's difference from the background under the image's light: the largest of its three
   * values'. And by how many grey levels the light differs.
   */
  private difference(image: BgrImage): { values: Uint8Array; light: number } {
    const [a, b] = [this.shrink(image).data, this.background.data];
    const gains = [0, 1, 2].map((channel) => usualRatio(a, b, channel));
    const values = new Uint8Array(a.length / 3);
    for (let i = 0, at = 0; i < values.length; i++, at += 3) {
      let most = 0;
      for (let c = 0; c < 3; c++) most = Math.max(most, Math.abs(a[at + c] - gains[c] * b[at + c]));
      values[i] = Math.min(255, Math.round(most));
    }
    const mean = b.reduce((sum, value) => sum + value, 0) / b.length;
    return { values, light: Math.max(...gains.map((gain) => Math.abs(gain - 1))) * mean };
  }
}

/** Ratios are counted in steps of 1 / this. */
const ratioSteps = 512;
/** Darker values of a background say little about the light. */
const leastLight = 24;

/** The median ratio of two images' values in a channel, from 0 to 2; 1 if the second is dark. */
function usualRatio(a: Uint8Array, b: Uint8Array, channel: number): number {
  const counts = new Uint32Array(2 * ratioSteps);
  let known = false;
  for (let i = channel; i < b.length; i += 3) {
    if (b[i] < leastLight) continue;
    known = true;
    counts[Math.min(counts.length - 1, Math.round((ratioSteps * a[i]) / b[i]))]++;
  }
  return known ? medianOf(counts) / ratioSteps : 1;
}

/** Whether boxes touch or nearly touch. */
function overlap(a: Box, b: Box): boolean {
  return Math.abs(a.x - b.x) < a.rx + b.rx + 3 && Math.abs(a.y - b.y) < a.ry + b.ry + 3;
}

/** The median of a histogram. */
function medianOf(counts: Uint32Array): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let below = 0;
  return counts.findIndex((count) => {
    below += count;
    return 2 * below >= total;
  });
}

/** The mean over 5×5 pixels; fewer at the border. */
function boxMean5(image: Uint8Array, width: number, height: number): Float32Array {
  const sums = new Float32Array(image.length);
  const out = new Float32Array(image.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = Math.max(0, x - 2); k <= Math.min(width - 1, x + 2); k++) sum += image[y * width + k];
      sums[y * width + x] = sum;
    }
  }
  for (let y = 0; y < height; y++) {
    const [first, last] = [Math.max(0, y - 2), Math.min(height - 1, y + 2)];
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = first; k <= last; k++) sum += sums[k * width + x];
      const columns = Math.min(width - 1, x + 2) - Math.max(0, x - 2) + 1;
      out[y * width + x] = sum / ((last - first + 1) * columns);
    }
  }
  return out;
}

/** Regions of non-zero pixels that touch at sides or corners. Clears the image. */
function connectedRegions(image: { [i: number]: number; length: number }, width: number, height: number): Region[] {
  const regions: Region[] = [];
  const open: number[] = [];
  for (let seed = 0; seed < image.length; seed++) {
    if (image[seed] === 0) continue;
    let [x1, y1, x2, y2, area] = [width, height, 0, 0, 0];
    image[seed] = 0;
    open.push(seed);
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const [x, y] = [at % width, Math.floor(at / width)];
      area++;
      x1 = Math.min(x1, x);
      y1 = Math.min(y1, y);
      x2 = Math.max(x2, x);
      y2 = Math.max(y2, y);
      for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
        for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
          const next = ny * width + nx;
          if (image[next] === 0) continue;
          image[next] = 0;
          open.push(next);
        }
      }
    }
    const [rx, ry] = [(x2 + 1 - x1) / 2, (y2 + 1 - y1) / 2];
    regions.push({ x: x1 + rx, y: y1 + ry, rx, ry, area });
  }
  return regions;
}
