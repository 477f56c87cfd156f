// Whether the machine keeps up with a camera: the share of its frames that was scored lately.

/** Seconds over which frames are counted. */
const COUNTED = 60;
/** Seconds between counts. */
const STEP = 1;
/** With a smaller share the machine does not keep up; from the larger one on it does again. */
const TOO_FEW = 0.5;
const ENOUGH = 0.6;

/** Frames and scores of a camera, since it began. */
export interface FrameCounts {
  frames: number;
  scored: number;
}

/** Counts the frames of a camera. */
export class ScoredShare {
  /** The share of the last minute's frames that was scored, if that is too small. */
  low: number | undefined;
  private counts: (FrameCounts & { time: number })[] = [];
  private isRunning = false;

  /** Begins again with the next score: before it, the engine starts or compiles. */
  restart(): void {
    this.counts = [];
    this.isRunning = false;
  }

  /** A frame was scored. */
  scored(): void {
    this.isRunning = true;
  }

  /**
   * A frame has come.
   * @param time seconds of a steady clock
   * @returns whether `low` is news: the machine has just stopped keeping up
   */
  frame(time: number, { frames, scored }: FrameCounts): boolean {
    if (!this.isRunning) return false;
    const last = this.counts.at(-1);
    if (last && time - last.time < STEP) return false;
    this.counts.push({ time, frames, scored });
    while (this.counts.length > 1 && this.counts[1].time <= time - COUNTED) this.counts.shift();
    const [first] = this.counts;
    if (time - first.time < COUNTED) return false;
    const share = (scored - first.scored) / (frames - first.frames);
    const wasLow = this.low !== undefined;
    this.low = share < (wasLow ? ENOUGH : TOO_FEW) ? share : undefined;
    return !wasLow && this.low !== undefined;
  }
}

/** Says in one line what a small share means. @param fps that the configuration wants */
export function slownessText(share: number, fps: number): string {
  const percent = 100 * share;
  const shown = percent > 0 && percent < 1 ? "less than 1" : percent.toFixed(0);
  const help = `lower fps (it is ${fps}), or use a faster adapter`;
  return `scores ${shown} % of its frames: ${help}; on a CPU, lavapipe is four to five times as fast as SwiftShader (docs/adapters.md)`;
}
