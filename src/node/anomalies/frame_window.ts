import type { Frame } from "../../data/frame.js";

/** Reads a video once, and keeps the frames around the last position that was asked for. */
export class FrameWindow {
  private readonly frames: Frame[] = [];
  private readonly iterator: AsyncIterator<Frame>;
  private ended = false;

  /**
   * @param reach frames that are kept behind; as many ahead may be asked for without losing the
   * next ones
   */
  constructor(
    frames: AsyncIterable<Frame>,
    private readonly reach: number,
  ) {
    this.iterator = frames[Symbol.asyncIterator]();
  }

  /**
   * The frame at a position; undefined beyond either end of the video.
   * @param index at most twice the reach behind the farthest position so far
   */
  async at(index: number): Promise<Frame | undefined> {
    while (!this.ended && (this.frames.at(-1)?.index ?? -1) < index) {
      const { done, value } = await this.iterator.next();
      if (done) this.ended = true;
      else this.frames.push(value);
      if (this.frames.length > 2 * this.reach + 1) this.frames.shift();
    }
    return this.frames[index - (this.frames[0]?.index ?? 0)];
  }

  /** Releases the video. */
  async close(): Promise<void> {
    await this.iterator.return?.();
  }
}
