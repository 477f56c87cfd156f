// The videos of a data set: files and folders of frames.

import { join, parse } from "node:path";
import { counted } from "../../counted.js";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { notUtf8 } from "../files/names.js";
import { listFrameFiles, openFrameFolder } from "../media/frame_folder.js";
import { openVideo } from "../media/video.js";
import { listFolder } from "./listing.js";

/** A video of a data set without its ground truth. */
export interface Clip {
  readonly name: string;
  readonly path: string;
  readonly frameCount?: number;
  /** The frames' numbers, by which their masks are found; absent for a video file: positions. */
  readonly numbers?: readonly number[];
  open(): Promise<FrameSource>;
  /** The frames' size in pixels. The first call opens the video. */
  size(): Promise<{ width: number; height: number }>;
}

/**
 * A folder of images.
 * @throws InputError as listFrameFiles does, and if only some files have a number
 */
export async function folderClip(name: string, path: string): Promise<Clip> {
  const files = await listFrameFiles(path).catch(async (error: unknown) => {
    const listing = await listFolder(path);
    if (listing?.files.length === 0 && listing.folders.length === 0)
      throw new InputError(`${oneLine(path)} is an empty folder: a video needs frames`);
    throw error;
  });
  const unnumbered = files.filter((file) => !/\d/.test(parse(file.name).name));
  if (unnumbered.length > 0 && unnumbered.length < files.length) {
    throw new InputError(
      `${oneLine(path)}: ${oneLine(unnumbered[0].name)} has no frame number, but other images have: its place is unknown`,
    );
  }
  const numbers = files.map((file) => file.number);
  return { ...withSize(name, path, () => openFrameFolder(path)), frameCount: numbers.length, numbers };
}

/** A video file. It is not read before it is opened. */
export function fileClip(name: string, path: string): Clip {
  return withSize(name, path, () => openVideo(path));
}

function withSize(name: string, path: string, open: () => Promise<FrameSource>): Clip {
  let size: Promise<{ width: number; height: number }> | undefined;
  return {
    name,
    path,
    open,
    size: () => {
      size ??= open().then(({ width, height }) => ({ width, height }));
      return size;
    },
  };
}

/**
 * The number by which a frame's files are named.
 * @param frame its position, from 0
 * @throws InputError if it is beyond the end
 */
export function frameNumber({ path, numbers }: Clip, frame: number): number {
  const number = numbers ? numbers[frame] : frame;
  if (number === undefined || !Number.isSafeInteger(frame) || frame < 0) {
    throw new InputError(`${oneLine(path)} has no frame at position ${frame}`);
  }
  return number;
}

/**
 * The number of a clip's frames. Those of a video file are decoded, since its header may be wrong.
 */
export async function frameCountOf(clip: Clip): Promise<number> {
  if (clip.frameCount !== undefined) return clip.frameCount;
  let count = 0;
  for await (const _ of (await clip.open()).frames()) count++;
  return count;
}

/** A line that says which frame numbers are missing; undefined if none are. */
export function gapNote({ numbers }: Clip): string | undefined {
  if (!numbers) return undefined;
  const [first, last] = [numbers[0], numbers[numbers.length - 1]];
  const missing = last - first + 1 - numbers.length;
  if (missing === 0) return undefined;
  const at = numbers.findIndex((number, i) => number !== first + i);
  return `${missing} frame number${missing > 1 ? "s are" : " is"} missing between ${first} and ${last}, from ${first + at} on`;
}

/** How names of video files end. */
export const VIDEO_EXTENSIONS = /\.(mp4|m4v|mov|avi|mkv|webm|mpg|mpeg|wmv|flv|ts|mts|m2ts|ogv|3gp)$/i;
const IMAGE_EXTENSIONS = /\.(png|jpe?g|tiff?|bmp|webp)$/i;

/** The clips in a folder, and what else lies there. */
export interface FoundClips {
  clips: Clip[];
  /** Names of files that are not videos. */
  others: string[];
}

/**
 * The video files and folders of frames in `folder`; folders below these are not searched.
 * @param skip names of folders that are not videos
 * @param onFault receives what is wrong with single videos, which are left out
 * @throws InputError if the folder cannot be read
 */
export async function findClips(
  folder: string,
  skip: ReadonlySet<string>,
  onFault: (fault: InputError) => void,
): Promise<FoundClips> {
  const found: FoundClips = { clips: [], others: [] };
  const listing = await listFolder(folder);
  if (!listing) return found;
  for (const name of listing.broken) {
    onFault(new InputError(`${oneLine(join(folder, name))} is a link that leads nowhere or in a circle`));
  }
  for (const name of listing.unreadable) onFault(new InputError(notUtf8(folder, [name])));
  for (const name of listing.folders) {
    if (skip.has(name)) continue;
    try {
      found.clips.push(await folderClip(name, join(folder, name)));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      onFault(error);
    }
  }
  for (const name of listing.files) {
    if (VIDEO_EXTENSIONS.test(name)) {
      found.clips.push(fileClip(name.replace(VIDEO_EXTENSIONS, ""), join(folder, name)));
    } else {
      found.others.push(name);
    }
  }
  const images = found.others.filter((name) => IMAGE_EXTENSIONS.test(name));
  if (images.length > 0) {
    onFault(
      new InputError(
        `${oneLine(folder)} holds ${counted(images.length, "image")} itself (${oneLine(images[0])}): ` +
          "put the frames of each video into a separate folder",
      ),
    );
    found.others = found.others.filter((name) => !IMAGE_EXTENSIONS.test(name));
  }
  return found;
}
