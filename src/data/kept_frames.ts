import type { Frame, FrameSource } from "./frame.js";

/**
 * A source whose frames are kept until they are taken, so that a frame and its score can be shown
 * together. Memory holds the frames between the one read last and the one taken last: those that
 * the detector works on.
 */
export class KeptFrames {
  readonly source: FrameSource;
  private readonly kept = new Map<number, Frame>();

  constructor(source: FrameSource) {
    const { kept } = this;
    async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
      kept.clear();
      for await (const frame of source.frames(signal)) {
        kept.set(frame.index, frame);
        yield frame;
      }
    }
    // The prototype keeps what a source computes, such as its warnings.
    this.source = Object.create(source, { frames: { value: frames } }) as FrameSource;
  }

  /** The frame at a position, once; those before it are forgotten. */
  take(index: number): Frame {
    const frame = this.kept.get(index);
    if (!frame) throw new Error(`frame ${index} is not there any more`);
    for (const other of this.kept.keys()) {
      if (other > index) break;
      this.kept.delete(other);
    }
    return frame;
  }
}
