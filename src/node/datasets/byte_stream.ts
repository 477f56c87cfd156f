import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";

/** Longest piece that is handed out as a whole, in bytes. */
const LONGEST_PIECE = 64 * 2 ** 20;

/** Reads a stream of bytes in order, a piece at a time, so that memory holds one chunk of it. */
export class ByteStream {
  private readonly iterator: AsyncIterator<Uint8Array>;
  private chunk: Uint8Array = new Uint8Array(0);
  private used = 0;
  private total = 0;

  /**
   * @param name of the file, for messages
   * @param most bytes that may be read in all
   */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    private readonly name: string,
    private readonly most: number,
  ) {
    this.iterator = chunks[Symbol.asyncIterator]();
  }

  /**
   * Hands the next `count` bytes to `use`, in pieces of any length.
   * @throws InputError if the stream ends before, is damaged, or is longer than allowed
   */
  async each(count: number, use: (piece: Uint8Array) => void): Promise<void> {
    for (let left = count; left > 0; ) {
      if (this.used === this.chunk.length) await this.next();
      const piece = this.chunk.subarray(this.used, this.used + left);
      this.used += piece.length;
      left -= piece.length;
      use(piece);
    }
  }

  /** The next `count` bytes, a copy. @throws InputError as {@link each} does, and over 64 MiB */
  async take(count: number): Promise<Uint8Array> {
    if (count > LONGEST_PIECE) throw new InputError(`${oneLine(this.name)} has a piece of ${count} bytes: too large`);
    const pieces: Uint8Array[] = [];
    await this.each(count, (piece) => pieces.push(piece));
    return Uint8Array.from(Buffer.concat(pieces));
  }

  /** Leaves out the next `count` bytes. @throws InputError as {@link each} does */
  async skip(count: number): Promise<void> {
    await this.each(count, () => {});
  }

  /** Releases the source. */
  async close(): Promise<void> {
    await this.iterator.return?.();
  }

  private async next(): Promise<void> {
    if (!(await this.fetch())) throw new InputError(`${oneLine(this.name)} is cut off`);
  }

  private async fetch(): Promise<boolean> {
    const { done, value } = await this.iterator.next().catch((error: unknown) => {
      throw new InputError(`${oneLine(this.name)} is damaged or cut off: ${reasonOf(error)}`);
    });
    if (done) return false;
    this.total += value.length;
    if (this.total > this.most) {
      throw new InputError(`${oneLine(this.name)} has over ${this.most} bytes of data when it is unpacked: too large`);
    }
    this.chunk = value;
    this.used = 0;
    return true;
  }
}
