// A folder of images as a video.
import { readdir } from "node:fs/promises";
import { join, parse } from "node:path";
import { checkFrameSize, type Frame, type FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type DecodedImage, readImage } from "./images.js";

/** An image of a frame folder. */
export interface FrameFile {
  path: string;
  /** The file's name without its folder. */
  name: string;
  /** The frame's number, from the name. */
  number: number;
}

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"]);

/**
 * The images of a folder in the order of their numbers. A file's number is the last run of digits
 * before its extension: "cam2_frame-0017.png" is 17. Files without a digit come last, sorted by
 * name, with the numbers that follow. Hidden files (".…"), sub-folders and other extensions are
 * ignored.
 * @throws InputError if the folder cannot be read, has no image, or has two images of one number
 */
export async function listFrameFiles(folder: string): Promise<FrameFile[]> {
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
  if (names.length === 0) {
    const hint = folders > 0 ? `, but ${folders} folder${folders > 1 ? "s" : ""}: name the one with the frames` : "";
    throw new InputError(`${shown} holds no image (png, jpg, jpeg, tif, tiff, bmp, webp)${hint}`);
  }
  const numbered: FrameFile[] = [];
  const rest: string[] = [];
  for (const name of names) {
    const digits = /(\d+)\D*$/.exec(parse(name).name)?.[1];
    if (digits === undefined) {
      rest.push(name);
      continue;
    }
    const number = Number(digits);
    if (!Number.isSafeInteger(number)) {
      throw new InputError(`${oneLine(join(folder, name))}: the frame number ${oneLine(digits)} is too large`);
    }
    numbered.push({ path: join(folder, name), name, number });
  }
  numbered.sort((a, b) => a.number - b.number || (a.name < b.name ? -1 : 1));
  for (let i = 1; i < numbered.length; i++) {
    const [a, b] = [numbered[i - 1], numbered[i]];
    if (a.number === b.number) {
      throw new InputError(
        `${shown}: ${oneLine(a.name)} and ${oneLine(b.name)} both have the frame number ${a.number}`,
      );
    }
  }
  let next = (numbered.at(-1)?.number ?? -1) + 1;
  for (const name of rest.sort()) numbered.push({ path: join(folder, name), name, number: next++ });
  return numbered;
}

function isImageName(name: string): boolean {
  return !name.startsWith(".") && IMAGE_EXTENSIONS.has(parse(name).ext.toLowerCase());
}

/** How a frame folder is read. */
export interface FrameFolderOptions {
  /** Frames per second, if known: gives frames their time. */
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
  const files = await listFrameFiles(folder);
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
        const { number } = files[index];
        yield { ...image, index, number, ...(fps === undefined ? {} : { time: index / fps }) };
      }
    } finally {
      await Promise.allSettled(pending);
    }
  }

  return {
    name: folder,
    width,
    height,
    frameCount: files.length,
    ...(fps === undefined ? {} : { fps }),
    frames,
  };
}
