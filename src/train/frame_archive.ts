/**
 * Keeps decoded frames outside the GPU: a training set is decoded into it once, and frames are read
 * when the GPU needs them. Frames are numbered from 0 in the order in which they are added.
 */
export interface FrameArchive {
  /** Adds a frame [height, width, 3] of 8-bit B, G, R; one at a time. */
  add(frame: Uint8Array): Promise<void>;
  /** Frames of so many bytes are to come. @returns why there is no room for them, if so */
  expect?(bytes: number): Promise<string | undefined>;
  /** The bytes of a frame that was added. */
  read(frame: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Keeps frames in memory: the default in browsers. */
export class MemoryArchive implements FrameArchive {
  private readonly frames: Uint8Array[] = [];

  async add(frame: Uint8Array): Promise<void> {
    this.frames.push(frame);
  }

  async read(frame: number): Promise<Uint8Array> {
    return this.frames[frame];
  }

  async close(): Promise<void> {
    this.frames.length = 0;
  }
}
