// Frames and sources of frames; sources made of a caller's own pixels.

import { InputError } from "../errors.js";

/**
 * A video frame: 8-bit B, G, R, interleaved, row-major. Its buffer is not reused: it may be kept.
 */
export interface Frame {
  /** height × width × 3 bytes. */
  data: Uint8Array;
  width: number;
  height: number;
  /** Position in the video, from 0. */
  index: number;
  /**
   * The frame's number: in a folder that of the file's name, else the index. Numbers rise from
   * frame to frame, but may have gaps. Neighbours in time (t − 3, t + 3, in units of the source's
   * step) are found by number, not by index.
   */
  number: number;
  /** Seconds since the video's start, if known. */
  time?: number;
}

/** Distance between a sample's frames, in frame numbers (docs/method.md §1). */
export const sampleStride = 3;

/** A video: frames in order, all of the same size. */
export interface FrameSource {
  /** Its name in messages: a path, or the caller's name for it. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** The exact number of frames, if known in advance. */
  readonly frameCount?: number;
  /** The number of frames by the file's header. Only for progress bars. */
  readonly estimatedFrameCount?: number;
  readonly fps?: number;
  /** Seconds from the first frame to the last, if their own times are known in advance. */
  readonly duration?: number;
  /** The distance of neighbouring frames' numbers; default 1. No two numbers are closer. */
  readonly step?: number;
  /** One line for each thing that was decided when the source was opened and is worth a look. */
  readonly notes?: readonly string[];
  /**
   * One line per problem that did not end the last pass, such as frames that could not be decoded.
   */
  readonly warnings?: readonly string[];
  /**
   * Reads the video from its start. Leaving the loop early releases the source's resources.
   * @throws the signal's reason if it is aborted; InputError if a frame cannot be read
   */
  frames(signal?: AbortSignal): AsyncIterable<Frame>;
  /**
   * Releases what the source holds if it is not read. Until then a pipe may keep the process alive.
   */
  close?(): Promise<void>;
}

/** Longest side of a frame in pixels. A larger one means a damaged or hostile file. */
export const MAX_FRAME_SIDE = 16384;
/** Shortest side of a frame in pixels: one patch of the smallest preset. */
export const MIN_FRAME_SIDE = 8;

/**
 * Checks a video's size.
 * @param name the video, for the message
 * @throws InputError if frames cannot have this size
 */
export function checkFrameSize(name: string, width: number, height: number): void {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new InputError(`${name}: a frame cannot be ${width}×${height} pixels`);
  }
  if (width > MAX_FRAME_SIDE || height > MAX_FRAME_SIDE) {
    throw new InputError(`${name} is ${width}×${height} pixels; a side may have at most ${MAX_FRAME_SIDE}`);
  }
  if (width < MIN_FRAME_SIDE || height < MIN_FRAME_SIDE) {
    throw new InputError(`${name} is ${width}×${height} pixels; a side needs at least ${MIN_FRAME_SIDE}`);
  }
}

/** Layout of a caller's pixels, interleaved and row-major. gray16 is one Uint16 per pixel. */
export type PixelFormat = "bgr" | "rgb" | "bgra" | "rgba" | "gray" | "gray16";

/** A caller's pixels. */
export type PixelData = Uint8Array | Uint8ClampedArray | Uint16Array;

const CHANNELS: Record<PixelFormat, number> = { bgr: 3, rgb: 3, bgra: 4, rgba: 4, gray: 1, gray16: 1 };

/** Bytes of a pixel. */
export function pixelBytes(format: PixelFormat): number {
  return format === "gray16" ? 2 : CHANNELS[format];
}

/**
 * Pixels of any layout as B, G, R bytes in a new buffer. As in OpenCV's imread, gray is replicated,
 * alpha is dropped (not multiplied in), and 16 bits lose their low byte.
 * @throws InputError if the data's length is not a whole number of pixels
 */
export function toBgr(data: PixelData, format: PixelFormat): Uint8Array {
  const channels = CHANNELS[format];
  const pixels = data.length / channels;
  if (!Number.isInteger(pixels)) {
    throw new InputError(`${data.length} values are not a whole number of ${format} pixels`);
  }
  if (format === "bgr") return new Uint8Array(data);
  const out = new Uint8Array(pixels * 3);
  if (channels === 1) {
    const shift = format === "gray16" ? 8 : 0;
    for (let i = 0, o = 0; i < pixels; i++, o += 3) {
      const value = data[i] >> shift;
      out[o] = value;
      out[o + 1] = value;
      out[o + 2] = value;
    }
    return out;
  }
  const blue = format === "bgra" ? 0 : 2;
  for (let i = 0, o = 0; o < out.length; i += channels, o += 3) {
    out[o] = data[i + blue];
    out[o + 1] = data[i + 1];
    out[o + 2] = data[i + 2 - blue];
  }
  return out;
}

/** A caller's raw frame. A canvas's ImageData is one (format "rgba"). */
export interface RawFrame {
  data: PixelData;
  /** If given, it must be the source's size. */
  width?: number;
  height?: number;
  /** The frame's number, which must rise from frame to frame. Default: the last one + 1. */
  number?: number;
  /** Seconds since the start. Default: index / fps, if fps is known. */
  time?: number;
}

type RawFrames = Iterable<PixelData | RawFrame> | AsyncIterable<PixelData | RawFrame>;

/** Options of {@link fromIterable}. */
export interface RawSourceOptions {
  width: number;
  height: number;
  /** Default "bgr". */
  format?: PixelFormat;
  /** For messages; default "frames". */
  name?: string;
  fps?: number;
  frameCount?: number;
}

/**
 * A FrameSource from the caller's raw frames, for example of a camera, a decoder or a canvas. Each
 * frame is checked (length, size, number) and copied, so the caller may reuse its buffer.
 * @param frames the frames, or a function that returns them from the start: then the source can be
 * read more than once
 * @throws InputError if the options are wrong; while iterating, if a frame does not fit
 */
export function fromIterable(frames: RawFrames | (() => RawFrames), options: RawSourceOptions): FrameSource {
  const { width, height, format = "bgr", name = "frames", fps, frameCount } = options;
  checkFrameSize(name, width, height);
  if (!Object.hasOwn(CHANNELS, format)) {
    throw new InputError(`${name}: unknown pixel format "${format}"; use one of ${Object.keys(CHANNELS).join(", ")}`);
  }
  if (fps !== undefined && !(fps > 0 && fps < Number.POSITIVE_INFINITY)) {
    throw new InputError(`${name}: fps must be a positive number, not ${fps}`);
  }
  let started = false;

  async function* read(signal?: AbortSignal): AsyncGenerator<Frame> {
    if (started && typeof frames !== "function") {
      throw new InputError(`${name}: these frames were already read; pass a function to read them more than once`);
    }
    started = true;
    let index = 0;
    let last = -1;
    for await (const given of abortable(typeof frames === "function" ? frames() : frames, signal)) {
      const raw: RawFrame = ArrayBuffer.isView(given) ? { data: given } : given;
      const number = raw.number ?? last + 1;
      const bgr = bgrOf(raw, { name, width, height, format }, { index, number, last });
      const time = raw.time ?? (fps === undefined ? undefined : index / fps);
      yield { data: bgr, width, height, index, number, ...(time === undefined ? {} : { time }) };
      last = number;
      index++;
    }
  }

  return {
    name,
    width,
    height,
    ...(fps === undefined ? {} : { fps }),
    ...(frameCount === undefined ? {} : { frameCount }),
    frames: read,
  };
}

/**
 * The pixels of a raw frame as B, G, R bytes.
 * @throws InputError if they do not fit the source, or the number is not above the last one
 */
function bgrOf(
  raw: RawFrame,
  { name, width, height, format }: { name: string; width: number; height: number; format: PixelFormat },
  { index, number, last }: { index: number; number: number; last: number },
): Uint8Array {
  const { data } = raw;
  const where = `${name}, frame ${index}`;
  const wanted = format === "gray16" ? "a Uint16Array" : "a Uint8Array";
  const isRight =
    format === "gray16" ? data instanceof Uint16Array : data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!isRight) throw new InputError(`${where}: the data must be ${wanted} for ${format} pixels`);
  if ((raw.width ?? width) !== width || (raw.height ?? height) !== height) {
    throw new InputError(
      `${where} is ${raw.width ?? width}×${raw.height ?? height} pixels, but the source is ${width}×${height}`,
    );
  }
  const length = width * height * CHANNELS[format];
  if (data.length !== length) {
    throw new InputError(`${where} has ${data.length} values, but ${width}×${height} ${format} pixels need ${length}`);
  }
  if (!Number.isSafeInteger(number) || number <= last) {
    throw new InputError(`${where} has the number ${number}; it must be a whole number above ${last}`);
  }
  return toBgr(data, format);
}

/**
 * Yields the items. An aborted signal ends the wait for the next one, such as that of a hung
 * camera.
 */
async function* abortable<T>(items: Iterable<T> | AsyncIterable<T>, signal?: AbortSignal): AsyncGenerator<T> {
  if (!signal) {
    yield* items;
    return;
  }
  signal.throwIfAborted();
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  // An abort between two items is thrown by the next race. Until then it must not count as
  // unhandled.
  aborted.catch(() => {});
  let done = false;
  try {
    while (true) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done) {
        done = true;
        return;
      }
      yield next.value;
      signal.throwIfAborted();
    }
  } finally {
    signal.removeEventListener("abort", stop);
    // Not awaited after an abort: a generator that waits for a frame returns only when it comes.
    if (!done) {
      const closed = Promise.resolve(iterator.return?.());
      if (signal.aborted) closed.catch(() => {});
      else await closed;
    }
  }
}
