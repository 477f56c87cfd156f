// Opens whatever a user names as a video: it decides by the name and by the first bytes.
import { open, stat } from "node:fs/promises";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { isAddress, parseAddress, refuseScheme } from "./address.js";
import { findFfmpeg } from "./ffmpeg.js";
import { type FrameFolderOptions, openFrameFolder } from "./frame_folder.js";
import { openHttp } from "./http.js";
import { imageFormat } from "./images.js";
import { openPipe, openRaw, type RawOptions } from "./pipe.js";
import { openRtsp } from "./rtsp.js";
import { openVideo, type VideoOptions } from "./video.js";

/** How an input is read: what fits its kind. */
export interface InputOptions extends VideoOptions, Pick<FrameFolderOptions, "order" | "step"> {
  /** Take the bytes for raw frames without any container, one after the other. */
  raw?: RawOptions;
  /** The file descriptor that "-" stands for, which is closed at the end; default 0. */
  stdin?: number;
}

/**
 * Opens a video that a user names: a folder of frames, a video file, "-" for the standard input, or
 * an address (http, https, rtsp, rtsps).
 * @throws InputError if it is none of these, or cannot be read; see openFrameFolder, openVideo,
 * openRaw, openHttp and openRtsp; the signal's reason
 */
export async function openInput(input: string, options: InputOptions = {}): Promise<FrameSource> {
  const { raw, stdin = 0, signal } = options;
  if (raw) return openRaw(input === "-" ? { fd: stdin, name: STDIN_NAME } : input, raw);
  if (input === "-" || isAddress(input)) {
    const program = options.ffmpeg ?? (await findFfmpeg());
    if (input === "-") return openPipe(program, stdin, STDIN_NAME, signal);
    const address = parseAddress(input);
    const openAddress = /^http/.test(address.url.protocol) ? openHttp : openRtsp;
    return openAddress(program, address, signal);
  }
  let isFolder: boolean;
  let isImage: boolean;
  try {
    const info = await stat(input);
    isFolder = info.isDirectory();
    isImage = info.isFile() && imageFormat(await firstBytes(input)) !== undefined;
  } catch (error) {
    refuseScheme(input);
    // Node cannot pass on a name in another encoding.
    const hint = input.includes("\uFFFD") ? "; its name is not UTF-8: rename it, for example with convmv" : "";
    throw new InputError(`${oneLine(input)} cannot be read: ${reasonOf(error)}${hint}`);
  }
  if (isFolder) return openFrameFolder(input, options);
  if (isImage) throw new InputError(`${oneLine(input)} is a single image; name a folder of frames or a video`);
  return openVideo(input, options);
}

const STDIN_NAME = "standard input";

async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(64), 0, 64, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
