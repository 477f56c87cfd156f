// How much of the time a machine scores videos of archives beside its cameras, which come first.

/** What was counted of cameras, since they began. */
export interface CameraFrames {
  frames: number;
  scored: number;
}

/** Below this share of frames that are scored, cameras are disturbed. */
const UNDISTURBED = 0.9;
/** By how much the share of the time falls and rises, and how far it falls. */
const FALL = 0.6;
const RISE = 0.05;
const LEAST = 0.05;

/** Finds the share of the time that cameras leave. */
export class Pace {
  /** 0…1 */
  duty = 1;
  private last: CameraFrames = { frames: 0, scored: 0 };

  /** @param now all frames of the cameras that are watched. @returns the share from now on */
  update(now: CameraFrames): number {
    const frames = now.frames - this.last.frames;
    const scored = now.scored - this.last.scored;
    this.last = now;
    // Cameras come and go.
    if (frames < 0 || scored < 0) return this.duty;
    const isDisturbed = frames > 0 && scored / frames < UNDISTURBED;
    this.duty = isDisturbed ? Math.max(LEAST, FALL * this.duty) : Math.min(1, this.duty + RISE);
    return this.duty;
  }
}
