/**
 * Waits for submitted steps without getting in their way. While a WebGPU promise is pending, Dawn in Node polls for it and keeps a core
 * busy; where the adapter computes on the CPU, that core is wanted. So on software adapters this sleeps through most of the time that
 * steps have taken so far before anything is awaited; on a GPU it does nothing.
 */
export class Patience {
  /** Milliseconds that a step takes, as seen so far; 0 until it is known. */
  private stepMs = 0;
  private expectedEnd = 0;
  private firstEnd = Number.POSITIVE_INFINITY;
  private lastEnd = 0;
  private wokeAt = 0;

  constructor(private readonly sleeps: boolean) {}

  /** To be called when a step is submitted; returns when it can have begun. */
  submitted(): number {
    const now = performance.now();
    this.expectedEnd = Math.max(now, this.expectedEnd) + this.stepMs;
    return now;
  }

  /** Sleeps until the steps submitted so far are nearly done, if it is known how long a step takes. */
  async sleep(): Promise<void> {
    if (!this.sleeps) return;
    // A sixth of a step is left for the clock's and the estimate's faults: oversleeping costs more than polling.
    const ms = this.expectedEnd - this.stepMs / 6 - performance.now();
    if (ms <= 2) return;
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.wokeAt = performance.now();
  }

  /** To be called when `steps` steps are seen to be done, the first of which was submitted at `start`. */
  done(start: number, steps = 1): void {
    const now = performance.now();
    // A driver may compile kernels in the first step, and those submitted before its end waited for that.
    const tellsTime = start >= this.firstEnd;
    this.firstEnd = Math.min(this.firstEnd, now);
    const took = (now - Math.max(start, this.lastEnd)) / steps;
    const overslept = this.wokeAt > Math.max(start, this.lastEnd) && now - this.wokeAt < 1;
    this.lastEnd = now;
    if (!tellsTime) return;
    // Done at once after a sleep: the true time is not known but less.
    if (overslept) this.stepMs = took * 0.75;
    else this.stepMs = this.stepMs === 0 || took < this.stepMs ? took : this.stepMs + (took - this.stepMs) / 4;
    this.expectedEnd = Math.min(this.expectedEnd, now + this.stepMs);
  }
}
