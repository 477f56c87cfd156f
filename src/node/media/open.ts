import { open, stat } from "node:fs/promises";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type FrameFolderOptions, openFrameFolder } from "./frame_folder.js";
import { imageFormat } from "./images.js";
import { openVideo, type VideoOptions } from "./video.js";

/** How an input is read: what fits its kind. */
export type InputOptions = VideoOptions & Pick<FrameFolderOptions, "order" | "step">;

/**
 * Opens a video that a user names: a folder of frames, or a video file.
 * @throws InputError if it is neither, or cannot be read; see openFrameFolder and openVideo
 */
export async function openInput(path: string, options: InputOptions = {}): Promise<FrameSource> {
  let isFolder: boolean;
  let isImage: boolean;
  try {
    const info = await stat(path);
    isFolder = info.isDirectory();
    isImage = info.isFile() && imageFormat(await firstBytes(path)) !== undefined;
  } catch (error) {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
  if (isFolder) return openFrameFolder(path, options);
  if (isImage) throw new InputError(`${oneLine(path)} is a single image; name a folder of frames or a video`);
  return openVideo(path, options);
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(64), 0, 64, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
