// A folder of images as a video.

import { readdir } from "node:fs/promises";
import { join, parse } from "node:path";
import { counted } from "../../counted.js";
import { checkFrameSize, type Frame, type FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { isUnreadable, notUtf8 } from "../files/names.js";
import { framesWithNeighbour, type OrderOptions, orderFrames } from "./frame_order.js";
import { type DecodedImage, readImage } from "./images.js";

/** An image of a frame folder. */
export interface FrameFile {
  path: string;
  /** The file's name without its folder. */
  name: string;
  /** The frame's number, from the name, or its position. */
  number: number;
  /** Seconds since the first frame, if the names are times. */
  time?: number;
}

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"]);

/** A folder's images in order, and how far apart neighbours' numbers are. */
interface FrameFiles {
  files: FrameFile[];
  step: number;
  notes: string[];
}

/**
 * The images of a folder in the order of their numbers or names: see {@link orderFrames}. Hidden
 * files (".…"), sub-folders and other extensions are ignored.
 * @throws InputError if the folder cannot be read, has no image or one whose name is not UTF-8, or
 * as orderFrames does
 */
export async function listFrameFiles(folder: string, options: OrderOptions = {}): Promise<FrameFile[]> {
  return (await listFrames(folder, options)).files;
}

async function listFrames(folder: string, options: OrderOptions): Promise<FrameFiles> {
  const shown = oneLine(folder);
  let names: string[];
  let folders = 0;
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    folders = entries.filter((entry) => entry.isDirectory()).length;
    names = entries.filter((entry) => !entry.isDirectory() && isImageName(entry.name)).map((entry) => entry.name);
  } catch (error) {
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}`);
  }
  const unreadable: string[] = [];
  for (const name of names) if (await isUnreadable(folder, name)) unreadable.push(name);
  if (unreadable.length > 0) throw new InputError(notUtf8(folder, unreadable));
  if (names.length === 0) {
    const hint = folders > 0 ? `, but ${counted(folders, "folder")}: name the one with the frames` : "";
    throw new InputError(`${shown} holds no image (png, jpg, jpeg, tif, tiff, bmp, webp)${hint}`);
  }
  const { frames, step, notes } = orderFrames(folder, names, options);
  return { files: frames.map((frame) => ({ ...frame, path: join(folder, frame.name) })), step, notes };
}

function isImageName(name: string): boolean {
  return !name.startsWith(".") && IMAGE_EXTENSIONS.has(parse(name).ext.toLowerCase());
}

/** How a frame folder is read. */
export interface FrameFolderOptions extends OrderOptions {
  /** Frames per second, if known: gives frames their time, unless their names are times. */
  fps?: number;
  /** Images that are decoded ahead, at most; default 4. */
  decodesInFlight?: number;
}

/**
 * Opens a folder of images as a video, in the order of {@link listFrameFiles}. Only a few frames
 * are in memory at a time. Each frame is [height, width, 3] bytes, B, G, R.
 * @throws InputError as listFrameFiles and readImage do, and if the first image is too small or too
 * large for a frame; while iterating, if an image has another size
 */
export async function openFrameFolder(folder: string, options: FrameFolderOptions = {}): Promise<FrameSource> {
  const { fps, decodesInFlight = 4 } = options;
  const { files, step, notes } = await listFrames(folder, options);
  const first = await readImage(files[0].path);
  const { width, height } = first;
  checkFrameSize(oneLine(files[0].path), width, height);

  async function load(file: FrameFile): Promise<DecodedImage> {
    const image = await readImage(file.path);
    if (image.width !== width || image.height !== height) {
      throw new InputError(
        `${oneLine(file.path)} is ${image.width}×${image.height} pixels, ` +
          `but ${oneLine(files[0].name)} is ${width}×${height}; all frames of a video need one size`,
      );
    }
    return image;
  }

  async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    const pending: Promise<DecodedImage>[] = [];
    let started = 0;
    try {
      for (let index = 0; index < files.length; index++) {
        signal?.throwIfAborted();
        while (started < files.length && pending.length < Math.max(1, decodesInFlight)) {
          const decoding = load(files[started++]);
          // A failure is thrown when its turn comes. Until then Node must not report it as
          // unhandled.
          decoding.catch(() => {});
          pending.push(decoding);
        }
        const image = await pending.shift()!;
        signal?.throwIfAborted();
        const { number, time = fps === undefined ? undefined : index / fps } = files[index];
        yield { ...image, index, number, ...(time === undefined ? {} : { time }) };
      }
    } finally {
      await Promise.allSettled(pending);
    }
  }

  const duration = files.at(-1)?.time;
  return {
    name: folder,
    width,
    height,
    frameCount: files.length,
    ...(fps === undefined ? {} : { fps }),
    ...(duration === undefined ? {} : { duration }),
    ...(step === 1 ? {} : { step }),
    notes,
    warnings: neighbourWarnings(folder, files, step),
    frames,
  };
}

/** Below this share of frames with a neighbour, the numbers cannot be those of a video's frames. */
const FEW = 0.1;

function neighbourWarnings(folder: string, files: readonly FrameFile[], step: number): string[] {
  const count = files.length < 2 ? 1 : framesWithNeighbour(numbersOf(files), step) / files.length;
  if (count >= FEW) return [];
  const [first, second] = numbersOf(files);
  const few = count === 0 ? "no frame has" : "hardly any frame has";
  return [
    `${oneLine(folder)}: ${few} a neighbour, because the numbers in the names have gaps (${first}, ${second}, …): ` +
      "motion cannot be seen. If the frames follow each other all the same, use --order name; " +
      "if the numbers of neighbours are N apart, use --step N",
  ];
}

const numbersOf = (files: readonly FrameFile[]): number[] => files.map(({ number }) => number);
