/**
 * Decoded frames beside the GPU: a training set is decoded once, into this, and read from here as the GPU needs it. A frame's number is how many
 * were added before it.
 */
export interface FrameArchive {
  /** Keeps a frame. Frames are added one after the other. */
  add(frame: Uint8Array): Promise<void>;
  /** The bytes of a frame that was added. */
  read(frame: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Keeps frames in memory: where there are no files. */
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
