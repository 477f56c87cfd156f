// Notices that the whole picture changed at once: lights or infrared switched, exposure jumped.
import { InputError } from "../errors.js";
import { tolerance } from "./alarm_rule.js";
import type { LumaPicture } from "./luma.js";

/** Blocks of the picture. */
const [COLUMNS, ROWS] = [12, 8];
/** Brightness is compared by its logarithm; this many gray levels are added against dark noise. */
const DARK = 16;
/** A block changed strongly if its brightness changed by a factor of e to this: by 22 %. */
const STRONG = 0.2;
/** … and by this many times its usual change. */
const UNUSUAL = 3;
/** Seconds after which the recent brightness has followed a change by two thirds. */
const RECENT = 1;
/** Seconds after which the background has, too slowly for a bus to become a part of it. */
const BACKGROUND = 20;
/** Seconds over which a block's usual change is averaged. */
const USUAL = 60;
/** Longer steps between pictures count as this many seconds. */
const LONGEST_STEP = 10;
/** The whole picture changed if this share of the blocks changed strongly, … */
const WHOLE = 0.7;
/** … and it is stable below this share. */
const STABLE = 0.3;
/** Seconds that the picture must be stable for the end of a change. */
const CALM = 3;
/** A change ends after so many seconds even if the picture keeps changing. */
const LONGEST = 60;

/**
 * Says when the whole picture changes at once, and when it is stable again. "At once" is within
 * about a second: dusk and clouds are slower. People and vehicles change a part of the picture
 * only, which is less than 70 % of it even for a bus. Blocks that change all the time, as in a
 * crowd, need a larger change.
 *
 * A change ends after 3 stable seconds, at the latest after a minute. If the picture is not stable
 * then, as with a beacon, the next change can begin once it was. After a gap in the video, begin
 * with a new one of these.
 */
export class SceneChange {
  /** Whether a change goes on. */
  isChanging = false;
  /** Brightness of the blocks in the last second or two; see {@link RECENT}. */
  private recent?: Float64Array;
  /** Brightness of the blocks in the last half minute; see {@link BACKGROUND}. */
  private background?: Float64Array;
  /** The mean difference of each block from the recent brightness. */
  private readonly usual = new Float64Array(COLUMNS * ROWS);
  private last = Number.NaN;
  private begin = 0;
  /** When the picture was not stable for the last time. */
  private unstable = Number.NEGATIVE_INFINITY;
  /** Whether a change may begin: not between a forced end and the next stable picture. */
  private isReady = true;

  /**
   * Takes the next frame's picture.
   * @param picture at least 12×8 pixels; 96×54 is usual
   * @param time seconds; must not fall
   * @returns what happened, if anything did
   * @throws InputError if the picture is too small
   */
  push(picture: LumaPicture, time: number): "begin" | "end" | undefined {
    const brightness = blockBrightness(picture);
    const { changed, unknown } = this.compare(brightness, time);
    if (changed >= STABLE) this.unstable = time;
    const isStable = time - this.unstable >= CALM - tolerance;
    if (this.isChanging) {
      if (!isStable && time - this.begin < LONGEST - tolerance) return undefined;
      this.isChanging = false;
      this.isReady = isStable;
      this.background = brightness;
      return "end";
    }
    if (isStable) this.isReady = true;
    if (!this.isReady || unknown < WHOLE) return undefined;
    this.isChanging = true;
    this.begin = time;
    return "begin";
  }

  /**
   * Compares a picture with those before, and learns it.
   * @returns shares of the blocks: `changed` strongly in the last second, and of these `unknown`,
   * which are not the background that a bus has just left
   */
  private compare(brightness: Float64Array, time: number): { changed: number; unknown: number } {
    const recent = this.recent ?? brightness.slice();
    const background = this.background ?? brightness.slice();
    [this.recent, this.background] = [recent, background];
    const step = Number.isNaN(this.last) ? 0 : Math.min(LONGEST_STEP, Math.max(0, time - this.last));
    this.last = time;
    const [follow, settle, learn] = [RECENT, BACKGROUND, USUAL].map((seconds) => 1 - Math.exp(-step / seconds));
    let [changed, unknown] = [0, 0];
    for (let block = 0; block < brightness.length; block++) {
      const difference = brightness[block] - recent[block];
      const offBackground = brightness[block] - background[block];
      const strong = Math.max(STRONG, UNUSUAL * this.usual[block]);
      if (Math.abs(difference) >= strong) {
        changed++;
        if (Math.abs(offBackground) >= strong) unknown++;
      }
      recent[block] += follow * difference;
      background[block] += settle * offBackground;
      this.usual[block] += learn * (Math.abs(difference) - this.usual[block]);
    }
    return { changed: changed / brightness.length, unknown: unknown / brightness.length };
  }
}

/** The logarithm of each block's mean brightness. */
function blockBrightness({ data, width, height }: LumaPicture): Float64Array {
  if (!(width >= COLUMNS && height >= ROWS)) {
    throw new InputError(`a picture of ${width}×${height} is too small for a change: it needs ${COLUMNS}×${ROWS}`);
  }
  const [sums, pixels] = [new Float64Array(COLUMNS * ROWS), new Float64Array(COLUMNS * ROWS)];
  for (let row = 0, at = 0; row < height; row++) {
    const first = Math.floor((row * ROWS) / height) * COLUMNS;
    for (let column = 0; column < width; column++, at++) {
      const block = first + Math.floor((column * COLUMNS) / width);
      sums[block] += data[at];
      pixels[block]++;
    }
  }
  return sums.map((sum, block) => Math.log(sum / pixels[block] + DARK));
}

/** The two modes of a camera with infrared. A picture without colour is infrared. */
export type CameraMode = "day" | "infrared";

/** Mean chroma in gray levels: below the first a picture is infrared, from the second on day. */
const [GRAY, COLORED] = [3, 5];
/** Pixels of a frame that are looked at, at most. */
const LOOKED_AT = 4096;
/** Seconds that a new mode must last. */
const MODE_HOLD = 3;

/** The mean chroma, 0…255, of a sample of the pixels. */
function meanChroma(bgr: Uint8Array): number {
  const pixels = Math.floor(bgr.length / 3);
  const stride = Math.max(1, Math.ceil(pixels / LOOKED_AT));
  let [sum, count] = [0, 0];
  for (let pixel = 0; pixel < pixels; pixel += stride, count++) {
    const [b, g, r] = [bgr[3 * pixel], bgr[3 * pixel + 1], bgr[3 * pixel + 2]];
    sum += Math.max(b, g, r) - Math.min(b, g, r);
  }
  return count === 0 ? 0 : sum / count;
}

/**
 * The mode of a camera, from its frames. A frame is infrared if it has hardly any colour: the mean
 * of its pixels' largest minus smallest channel is below 3 of 255. So are black frames. The mode
 * changes after 3 seconds of the other one; frames between the two change nothing. A camera without
 * colour is infrared all the time.
 */
export class DayOrInfrared {
  private mode?: CameraMode;
  /** Since when frames have been of the other mode. */
  private since?: number;

  /**
   * Takes the next frame.
   * @param bgr 8-bit B, G, R, interleaved
   * @param time seconds; must not fall
   * @returns the mode now; the first frame decides alone
   */
  push(bgr: Uint8Array, time: number): CameraMode {
    const chroma = meanChroma(bgr);
    this.mode ??= chroma < GRAY ? "infrared" : "day";
    const isOther = this.mode === "day" ? chroma < GRAY : chroma >= COLORED;
    if (!isOther) this.since = undefined;
    else this.since ??= time;
    if (this.since !== undefined && time - this.since >= MODE_HOLD - tolerance) {
      this.mode = this.mode === "day" ? "infrared" : "day";
      this.since = undefined;
    }
    return this.mode;
  }
}
