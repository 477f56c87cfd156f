// A video file as a source of frames, decoded by ffmpeg.
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseForVideo } from "../files/stand_in.js";
import { type DecodedInput, openDecoded } from "./decode.js";
import { findFfmpeg } from "./ffmpeg.js";
import { joinedWarning } from "./joined.js";

/** How a video is read. */
export interface VideoOptions {
  /** The path of ffmpeg; default: of {@link findFfmpeg}. */
  ffmpeg?: string;
  /** Ends the opening, with its reason: a camera or a pipe may say nothing for long. */
  signal?: AbortSignal;
}

/**
 * Opens a video file. Every coded frame comes once and in order: none is doubled or dropped to keep
 * a rate. Frames are turned upright as the metadata says; the pixels' aspect ratio is ignored.
 * Colours are converted to B, G, R by the matrix that the video names, BT.601 if it names none,
 * with bicubic chroma: ffmpeg's default, and the same bytes as those of the VideoCapture of OpenCV
 * 5. (Older OpenCV converted all videos by BT.601.) A frame's time is its time stamp, in seconds
 * from the first frame.
 *
 * Of a damaged video come the frames that ffmpeg can decode; `warnings` of the source, new with
 * each pass, counts its complaints. (OpenCV stops at the first frame that it cannot decode.) They
 * also say if the video begins between two key frames, if pictures change their size (all are
 * scaled to the first one's), and if another recording is joined on behind the first.
 * @throws InputError with the file's name and ffmpeg's reason, if the file cannot be read, is not a
 * video, or has no video stream or no frame that can be decoded; while iterating, if ffmpeg ends
 * with an error. Without ffmpeg the message says what to install.
 */
export async function openVideo(path: string, options: VideoOptions = {}): Promise<FrameSource> {
  const input = await videoInput(path);
  const program = options.ffmpeg ?? (await findFfmpeg());
  return openDecoded(program, input, options.signal).catch(async (error: unknown) => {
    options.signal?.throwIfAborted();
    await refuseForVideo(path);
    throw error;
  });
}

/** A video file as an input of ffmpeg. @throws InputError if it cannot be read */
export async function videoInput(path: string): Promise<DecodedInput> {
  const shown = oneLine(path);
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size === 0) throw new Error("it is empty");
  } catch (error) {
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}`);
  }
  const file = resolve(path);
  const joined = await joinedWarning(path);
  // An absolute path behind "file:" is never taken for an option, a pattern or a URL. The whitelist
  // keeps a playlist from making ffmpeg open a network connection.
  const args = ["-protocol_whitelist", "file,pipe", "-i", `file:${file}`];
  return {
    name: path,
    warnings: joined === undefined ? [] : [joined],
    open: async () => ({ args, hidden: file }),
  };
}
