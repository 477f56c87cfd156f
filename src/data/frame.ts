import { InputError } from "../errors.js";

/** One video frame: 8-bit B, G, R, interleaved, row-major, rows × columns × 3 bytes. Its buffer is its own: it may be kept. */
export interface Frame {
  data: Uint8Array;
  width: number;
  height: number;
  /** Position in the video, from 0. */
  index: number;
  /**
   * The number that names the frame: for a folder the one in the file's name, else the index. Numbers rise from frame to
   * frame, but may have gaps: neighbours in time (t − 3, t + 3) are found by number, not by index.
   */
  number: number;
  /** Seconds from the video's start, if known. */
  time?: number;
}

/** Frames between a sample's frames, by frame number (docs/method.md §1). */
export const sampleStride = 3;

/** A video: frames in order, all of one size. */
export interface FrameSource {
  /** What messages call it: a path, or the name that the caller gave. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** The exact number of frames, if known beforehand. */
  readonly frameCount?: number;
  /** What the file's header promises, good for a progress bar only. */
  readonly estimatedFrameCount?: number;
  readonly fps?: number;
  /** One line for each thing that went wrong in the last pass without ending it (frames that could not be decoded). */
  readonly warnings?: readonly string[];
  /**
   * Reads the video from its start. Leaving the loop early releases what the source holds; an aborted signal ends it by
   * throwing the signal's reason.
   */
  frames(signal?: AbortSignal): AsyncIterable<Frame>;
}

/** Longest side of a frame, in pixels: beyond it a header is taken to be damaged or hostile. */
export const MAX_FRAME_SIDE = 16384;
/** Shortest side of a frame, in pixels: one patch of the smallest preset. */
export const MIN_FRAME_SIDE = 8;

/** Throws an InputError unless a video's frames can have this size; `name` says whose size it is. */
export function checkFrameSize(name: string, width: number, height: number): void {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new InputError(`${name}: a frame cannot be ${width}×${height} pixels`);
  }
  if (width > MAX_FRAME_SIDE || height > MAX_FRAME_SIDE) {
    throw new InputError(`${name} is ${width}×${height} pixels; at most ${MAX_FRAME_SIDE} a side can be read`);
  }
  if (width < MIN_FRAME_SIDE || height < MIN_FRAME_SIDE) {
    throw new InputError(`${name} is ${width}×${height} pixels; a frame needs at least ${MIN_FRAME_SIDE} a side`);
  }
}

/** How the pixels that a caller hands in are laid out, interleaved and row-major; gray16 is one Uint16 a pixel. */
export type PixelFormat = "bgr" | "rgb" | "bgra" | "rgba" | "gray" | "gray16";

export type PixelData = Uint8Array | Uint8ClampedArray | Uint16Array;

const CHANNELS: Record<PixelFormat, number> = { bgr: 3, rgb: 3, bgra: 4, rgba: 4, gray: 1, gray16: 1 };

/**
 * Pixels of any layout as B, G, R bytes in a new buffer: gray is replicated, alpha is dropped (not multiplied in), 16 bits
 * become 8 by dropping the low byte, all as OpenCV's imread does. The data's length must be a whole number of pixels.
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

/** A raw frame as a caller hands it in; a canvas's ImageData is one (format "rgba"). */
export interface RawFrame {
  data: PixelData;
  /** Checked against the source's size where given. */
  width?: number;
  height?: number;
  /** Frame number; must rise from frame to frame. Default: one more than the last. */
  number?: number;
  /** Seconds from the start; default index / fps where fps is known. */
  time?: number;
}

type RawFrames = Iterable<PixelData | RawFrame> | AsyncIterable<PixelData | RawFrame>;

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
 * A FrameSource of raw frames that the caller produces: a camera, a decoder of one's own, a canvas.
 * Each frame is checked (length, size, number) and copied, so the caller may reuse its buffer.
 * Pass a function that starts anew to be able to read the source more than once.
 * @throws InputError for a size no frame can have; while iterating, for a frame that does not fit.
 */
export function fromIterable(frames: RawFrames | (() => RawFrames), options: RawSourceOptions): FrameSource {
  const { width, height, format = "bgr", name = "frames", fps, frameCount } = options;
  checkFrameSize(name, width, height);
  if (!Object.hasOwn(CHANNELS, format)) {
    throw new InputError(`${name}: no pixel format "${format}"; use one of ${Object.keys(CHANNELS).join(", ")}`);
  }
  if (fps !== undefined && !(fps > 0 && fps < Number.POSITIVE_INFINITY)) {
    throw new InputError(`${name}: fps must be a positive number, not ${fps}`);
  }
  let started = false;

  async function* read(signal?: AbortSignal): AsyncGenerator<Frame> {
    if (started && typeof frames !== "function") {
      throw new InputError(`${name}: these frames were read already; pass a function to read them more than once`);
    }
    started = true;
    let index = 0;
    let last = -1;
    for await (const given of abortable(typeof frames === "function" ? frames() : frames, signal)) {
      const raw: RawFrame = ArrayBuffer.isView(given) ? { data: given } : given;
      const number = raw.number ?? last + 1;
      const bgr = check(raw, index, number, last);
      const time = raw.time ?? (fps === undefined ? undefined : index / fps);
      yield { data: bgr, width, height, index, number, ...(time === undefined ? {} : { time }) };
      last = number;
      index++;
    }
  }

  function check(raw: RawFrame, index: number, number: number, last: number): Uint8Array {
    const { data } = raw;
    const where = `${name}, frame ${index}`;
    const wanted = format === "gray16" ? "a Uint16Array" : "a Uint8Array";
    const isRight =
      format === "gray16"
        ? data instanceof Uint16Array
        : data instanceof Uint8Array || data instanceof Uint8ClampedArray;
    if (!isRight) throw new InputError(`${where}: the data must be ${wanted} for ${format} pixels`);
    if ((raw.width ?? width) !== width || (raw.height ?? height) !== height) {
      throw new InputError(
        `${where} is ${raw.width ?? width}×${raw.height ?? height} pixels, the frames before are ${width}×${height}`,
      );
    }
    const length = width * height * CHANNELS[format];
    if (data.length !== length) {
      throw new InputError(`${where} has ${data.length} values; ${width}×${height} ${format} pixels are ${length}`);
    }
    if (!Number.isSafeInteger(number) || number <= last) {
      throw new InputError(`${where} has the number ${number}; it must be a whole number above ${last}`);
    }
    return toBgr(data, format);
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

/** Passes items on, but stops waiting for the next one (a camera that hangs) as soon as the signal is aborted. */
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
  // An abort between two items is thrown by the next race; it must not count as unhandled until then.
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
    // Not awaited when aborted: a generator that waits for a frame would only return after it.
    if (!done) {
      const closed = Promise.resolve(iterator.return?.());
      if (signal.aborted) closed.catch(() => {});
      else await closed;
    }
  }
}
