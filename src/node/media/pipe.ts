// Frames from a pipe: in a container that ffmpeg reads, or raw.
import { createReadStream, fstatSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { maxTextBytes } from "../../checkpoint/foreign.js";
import { type FrameSource, fromIterable, type PixelFormat, pixelBytes } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseBytesForVideo } from "../files/stand_in.js";
import { type Feed, NotAVideoError, openDecoded, PIPE_INPUT, Pieces } from "./decode.js";
import { isIndexLast } from "./movie_index.js";

/**
 * Opens a file descriptor as openVideo opens a file. It can be read only once, without jumps, and
 * is closed then. Node reads it and passes it on to ffmpeg: so its first bytes can tell why it
 * cannot be read.
 * @param opening ends the opening
 * @throws InputError as openVideo does; for a movie whose index comes last, it says what helps
 */
export async function openPipe(program: string, fd: number, name: string, opening?: AbortSignal): Promise<FrameSource> {
  const head: Buffer[] = [];
  try {
    const open = async (): Promise<Feed> => {
      const stream = readDescriptor(fd);
      let length = 0;
      stream.on("data", (chunk: Buffer) => {
        if (length < maxTextBytes) head.push(chunk);
        length += chunk.length;
      });
      stream.pause();
      return {
        ...PIPE_INPUT,
        // That ffmpeg has read enough is no error.
        write: (stdin) => pipeline(stream, stdin).catch(() => {}),
        close: async () => void stream.destroy(),
      };
    };
    return await openDecoded(program, { name, once: true, open }, opening);
  } catch (error) {
    if (!(error instanceof NotAVideoError)) throw error;
    throw explained(error, Buffer.concat(head).subarray(0, maxTextBytes), name);
  }
}

/** A file descriptor's bytes. Waiting for them does not keep the process alive. */
function readDescriptor(fd: number): Readable {
  const info = fstatSync(fd);
  // A read of a pipe by node:fs cannot be stopped.
  if (info.isFIFO() || info.isSocket()) return new Socket({ fd, readable: true, writable: false }).unref();
  return createReadStream("", { fd, autoClose: false });
}

/** The error for bytes in which ffmpeg found no video. */
function explained(error: NotAVideoError, head: Buffer, name: string): InputError {
  const shown = oneLine(name);
  if (head.length === 0) return new InputError(`${shown} is empty`);
  refuseBytesForVideo(head, name);
  if (isIndexLast(head)) {
    return new InputError(
      `${shown}: an MP4 with its index at the end cannot be read from a pipe: give the file, or write it with -movflags +faststart`,
    );
  }
  return new InputError(`${error.message}; raw frames need --raw-size`);
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
