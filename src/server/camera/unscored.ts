// Frames that wait for their scores. A source that can wait is held up while there are many.
import type { MachineClock } from "./frame_time.js";

/** What {@link UnscoredFrames} is made with. */
export interface UnscoredOptions {
  /** Frames of a connection that may wait at once. */
  most: number;
  /** Seconds for which a source is held up without a score, until those that wait are given up. */
  patience: number;
  /** Measures how long scores take. */
  clock: Pick<MachineClock, "steady">;
}

/** The frames of a camera that were sent to the engine. Numbers rise, over all connections. */
export class UnscoredFrames {
  /** Frames that get no score. */
  dropped = 0;
  /** Seconds from a frame's arrival to its score, the last one. */
  latency = Number.NaN;
  /** When the last score came. */
  scored = Number.NEGATIVE_INFINITY;
  /** Arrivals by the frames' numbers. */
  private readonly arrivals = new Map<number, number>();
  /** The first number of the connection. The last frames of those before may get no score. */
  private first = Number.NEGATIVE_INFINITY;
  private isReady = false;
  /** Lets the one who waits look again. */
  private wake: () => void = () => {};

  constructor(private readonly options: UnscoredOptions) {}

  /** A connection begins. @param first number of its first frame */
  connected(first: number): void {
    this.first = first;
  }

  /** The engine runs, and has none of the frames before. */
  ready(): void {
    this.giveUp();
    this.isReady = true;
    this.wake();
  }

  /** The engine is gone. */
  blind(): void {
    this.giveUp();
    this.isReady = false;
  }

  /** A frame is sent. @param arrival when it came, in seconds of the clock */
  add(number: number, arrival: number): void {
    this.arrivals.set(number, arrival);
  }

  /** When a frame came that waits for its score. */
  arrivalOf(number: number): number | undefined {
    return this.arrivals.get(number);
  }

  /** The engine did not take a frame. */
  refused(number: number): void {
    if (this.arrivals.delete(number)) this.dropped++;
  }

  /** A frame has its score. Those before it get none. */
  score(score: number): void {
    const { clock } = this.options;
    const arrival = this.arrivals.get(score);
    for (const number of this.arrivals.keys()) {
      if (number > score) break;
      if (number < score) this.dropped++;
      this.arrivals.delete(number);
    }
    this.scored = clock.steady();
    if (arrival !== undefined) this.latency = this.scored - arrival;
    this.wake();
  }

  /** Waits until the engine runs and has room for a frame, or the signal ends it. Never throws. */
  async room(signal: AbortSignal): Promise<void> {
    if (this.hasRoom) return;
    const { patience } = this.options;
    const timer = Number.isFinite(patience) ? setTimeout(() => this.giveUp(), 1000 * patience) : undefined;
    const onAbort = () => this.wake();
    signal.addEventListener("abort", onAbort, { once: true });
    while (!signal.aborted && !this.hasRoom) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }

  private get hasRoom(): boolean {
    if (!this.isReady) return false;
    let waiting = 0;
    for (const number of this.arrivals.keys()) if (number >= this.first) waiting++;
    return waiting < this.options.most;
  }

  /** Scores of the frames that were sent do not come any more. */
  private giveUp(): void {
    this.dropped += this.arrivals.size;
    this.arrivals.clear();
    this.wake();
  }
}
