// Videos in which a block walks, and the people that are cut out of such videos.

import type { DrawnKind } from "../../src/data/anomalies/drawn_kinds.js";
import type { Box } from "../../src/data/anomalies/foreground.js";
import type { LibraryClip, MovingObject } from "../../src/data/anomalies/library.js";
import { usualPeople } from "../../src/data/anomalies/usual_person.js";
import type { DatasetVideo } from "../../src/data/dataset.js";
import { fromIterable } from "../../src/data/frame.js";
import type { BgrImage } from "../../src/data/resize.js";

export type Bgr = readonly [number, number, number];

/** An image of one colour, or of one gray value. */
export function flat(width: number, height: number, color: number | Bgr): BgrImage {
  const bgr = typeof color === "number" ? [color, color, color] : color;
  return { data: Uint8Array.from({ length: width * height * 3 }, (_, i) => bgr[i % 3]), width, height };
}

/** Sets the pixels of a box. Corner x1, y1 is inclusive, x2, y2 exclusive. */
export function fill(
  image: BgrImage,
  [x1, y1, x2, y2]: readonly [number, number, number, number],
  ...bgr: number[]
): BgrImage {
  for (let y = y1; y < y2; y++) for (let x = x1; x < x2; x++) image.data.set(bgr, (y * image.width + x) * 3);
  return image;
}

/** A block that walks to the right, or to the left. */
export interface Block {
  /** Its left edge in the first frame. */
  start: number;
  top: number;
  wide: number;
  tall: number;
  /** Pixels per frame. */
  speed: number;
}

/** A video of blocks. */
export interface BlocksOptions {
  /** Frames. */
  count?: number;
  width?: number;
  height?: number;
  /** The light in a frame: a factor on all values. */
  light?: (frame: number) => number;
}

/** A gray video of dark blocks that move over noise. */
export function walkingBlocks(name: string, blocks: readonly Block[], options: BlocksOptions = {}): DatasetVideo {
  const { count = 40, width = 120, height = 80, light = () => 1 } = options;
  const frames = () =>
    Array.from({ length: count }, (_, t) => {
      const image = flat(width, height, 120);
      for (let i = 0; i < image.data.length; i += 3) image.data.fill(118 + ((i * 7919 + t * 104729) % 5), i, i + 3);
      for (const { start, top, wide, tall, speed } of blocks) {
        const x = start + Math.round(speed * t);
        fill(image, [x, top, x + wide, top + tall], 20, 20, 20);
      }
      return lit(image, light(t)).data;
    });
  return { name, path: name, frameCount: count, open: async () => fromIterable(frames, { width, height, name }) };
}

/** The same in other light: all values times a factor, or each channel times its own. */
export function lit(image: BgrImage, light: number | Bgr): BgrImage {
  const gains = typeof light === "number" ? [light, light, light] : light;
  return { ...image, data: image.data.map((value, i) => Math.min(255, Math.round(gains[i % 3] * value))) };
}

/** How a block walks. */
export interface WalkOptions extends Omit<BlocksOptions, "light"> {
  /** Height of the block; it is 10 pixels wide. */
  tall?: number;
  /** Its left edge in the first frame. */
  start?: number;
}

/** A gray video of a block that moves over noise by `speed` pixels per frame. */
export function walk(name: string, speed: number, options: WalkOptions = {}): DatasetVideo {
  const { height = 80, tall = 24, start = 20, ...others } = options;
  const block = { start, top: Math.round(0.5 * height - 10), wide: 10, tall, speed };
  return walkingBlocks(name, [block], { height, ...others });
}

/** Somebody in a clip: a block of 2 rx × 2 ry around x, y in frame `frame`, with its pixels. */
export interface Walker {
  frame: number;
  x: number;
  y: number;
  rx: number;
  ry: number;
  /** Pixels per frame to the right. */
  speed: number;
  color: Bgr;
  /** The half that goes first, if it looks otherwise. */
  front?: Bgr;
}

/** A clip of a library, as if it had been found in a video of blocks on a flat background. */
export function clipOf(
  name: string,
  { width, height, background }: { width: number; height: number; background: Bgr },
  walkers: readonly Walker[],
  frameCount = 40,
): LibraryClip {
  const objects = walkers.map(({ frame, x, y, rx, ry, speed, color, front = color }): MovingObject => {
    const box = (offset: number): Box => ({ x: x + speed * offset, y, rx, ry });
    const reach = Math.ceil(1.25 * rx + 3 * Math.abs(speed)) + 4;
    const tall = Math.ceil(1.25 * ry) + 4;
    const crop = (at?: Box) => {
      const image = flat(2 * reach, 2 * tall, background);
      if (!at) return image;
      const left = Math.round(at.x - at.rx - x) + reach;
      const half = speed < 0 ? left : left + rx;
      fill(image, [left, tall - ry, left + 2 * rx, tall + ry], ...color);
      return fill(image, [half, tall - ry, half + rx, tall + ry], ...front);
    };
    const frames = [-3, -2, -1, 0, 1, 2, 3].map((offset) => crop(box(offset)));
    return {
      frame,
      boxes: [box(-3), box(0), box(3)],
      crop: { x: x - reach, y: y - tall, frames, background: crop() },
    };
  });
  const gray = [background, ...walkers.map(({ color }) => color)].every(([b, g, r]) => b === g && g === r);
  return {
    ...{ name, width, height, frameCount, background: flat(width, height, background) },
    ...{ low: 17, high: 36, gray, objects },
    usual: usualPeople(objects).usual ?? { height: height / 5, foot: height / 2, slope: 0, stride: 0.1 },
  };
}

/** A clip of drawn objects, as if they had been drawn for people so high: twice as large. */
export function drawnClipOf(
  size: { width: number; height: number; background: Bgr },
  kinds: readonly DrawnKind[],
  look: Omit<Walker, "speed">,
  personHeight = 24,
): LibraryClip {
  const standing = kinds.map((): Walker => ({ ...look, speed: 0 }));
  const clip = clipOf("drawn", size, standing, 7);
  const objects = clip.objects.map((object, i): MovingObject => ({ ...object, drawn: kinds[i] }));
  return { ...clip, objects, usual: { height: 2 * personHeight, foot: 0, slope: 0, stride: 0 } };
}
