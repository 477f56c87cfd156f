// Frames from a pipe: in a container that ffmpeg reads, or raw.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { type FrameSource, fromIterable, type PixelFormat, pixelBytes } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { openDecoded, PIPE_INPUT, Pieces } from "./decode.js";

/** Opens a file descriptor as openVideo opens a file. It can be read only once, without jumps. */
export function openPipe(program: string, fd: number, name: string): Promise<FrameSource> {
  return openDecoded(program, { name, once: true, open: async () => ({ ...PIPE_INPUT, stdin: fd }) });
}

/** What raw frames are. */
export interface RawOptions {
  width: number;
  height: number;
  /** Default "bgr". */
  format?: PixelFormat;
  /** Gives frames their time. */
  fps?: number;
}

/**
 * Opens raw frames, one after the other without anything between: those of a file, or of a file
 * descriptor, which can be read only once and is closed then.
 * @throws InputError if the file cannot be read; while iterating, if it ends within a frame
 */
export async function openRaw(input: string | { fd: number; name: string }, options: RawOptions): Promise<FrameSource> {
  const { width, height, format = "bgr" } = options;
  const name = typeof input === "string" ? input : input.name;
  const bytes = width * height * pixelBytes(format);
  let count: number | undefined;
  if (typeof input === "string") {
    try {
      const info = await stat(input);
      if (info.isDirectory()) throw new Error("it is a folder");
      if (info.isFile()) count = Math.floor(info.size / bytes);
    } catch (error) {
      throw new InputError(`${oneLine(input)} cannot be read: ${reasonOf(error)}`);
    }
  }
  async function* read(): AsyncGenerator<Uint8Array> {
    const stream =
      typeof input === "string" ? createReadStream(input) : createReadStream("", { fd: input.fd, autoClose: false });
    let frames = 0;
    try {
      const pieces = new Pieces(stream, bytes);
      for await (const piece of pieces.whole()) {
        yield piece;
        frames++;
      }
      if (pieces.rest === 0 && frames > 0) return;
      const rest = frames === 0 && pieces.rest === 0 ? "is empty" : `ends within frame ${frames}`;
      throw new InputError(
        `${oneLine(name)} ${rest}: a raw frame of ${width}×${height} ${format} pixels has ${bytes} bytes`,
      );
    } finally {
      stream.destroy();
    }
  }
  const source = fromIterable(typeof input === "string" ? read : read(), { ...options, name: oneLine(name) });
  return count === undefined ? source : { ...source, frameCount: count };
}
