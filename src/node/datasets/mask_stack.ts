import { deflateRawSync, inflateRawSync } from "node:zlib";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";

/** Most memory for the packed masks of a video, in bytes. */
const MOST_PACKED = 256 * 2 ** 20;
/** Most pixels of a mask. */
const MOST_PIXELS = 2 ** 26;

/**
 * The masks of a video's frames in memory, each packed. One without an abnormal pixel takes none.
 */
export class MaskStack {
  private readonly packed: (Uint8Array | undefined)[] = [];
  private bytes = 0;

  /**
   * @param path of the file, for messages
   * @throws InputError if masks of this size are too large
   */
  constructor(
    private readonly path: string,
    readonly width: number,
    readonly height: number,
  ) {
    if (width < 1 || height < 1 || width * height > MOST_PIXELS) {
      throw new InputError(`${oneLine(path)} has masks of ${width}×${height} pixels: too large`);
    }
  }

  get length(): number {
    return this.packed.length;
  }

  /**
   * Adds the next frame's mask.
   * @param mask 0 or 1 per pixel, row-major; undefined: all 0
   * @throws InputError if the masks take over 256 MiB
   */
  add(mask: Uint8Array | undefined): void {
    const packed = mask?.includes(1) ? Uint8Array.from(deflateRawSync(mask, { level: 1 })) : undefined;
    this.bytes += packed?.length ?? 0;
    if (this.bytes > MOST_PACKED) {
      throw new InputError(`${oneLine(this.path)} has masks that take over ${MOST_PACKED} bytes even when packed`);
    }
    this.packed.push(packed);
  }

  /** 0 or 1 per pixel, row-major. */
  mask(frame: number): Uint8Array {
    const packed = this.packed[frame];
    const size = this.width * this.height;
    return packed ? new Uint8Array(inflateRawSync(packed, { maxOutputLength: size })) : new Uint8Array(size);
  }

  /** 1 per frame with an abnormal pixel, else 0. */
  labels(): Uint8Array {
    return Uint8Array.from(this.packed, (packed) => (packed ? 1 : 0));
  }
}
