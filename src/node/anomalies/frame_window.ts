import type { Frame } from "../../data/frame.js";

/** A video that is read once, with its frames at hand for some way before and behind the last position that was asked for. */
export class FrameWindow {
  private readonly frames: Frame[] = [];
  private readonly iterator: AsyncIterator<Frame>;
  private ended = false;

  /** @param reach frames that are held behind; so many ahead may be asked for without losing what is needed next */
  constructor(
    frames: AsyncIterable<Frame>,
    private readonly reach: number,
  ) {
    this.iterator = frames[Symbol.asyncIterator]();
  }

  /** The frame at a position, which must not lie more than twice the reach behind the farthest so far; undefined beyond either end. */
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
