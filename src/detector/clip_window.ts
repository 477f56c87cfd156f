import { sampleStride } from "../data/frame.js";

/** A frame that can be scored, and the ring slots of what it is scored from. */
export interface ReadySample<F> {
  frame: F;
  /** Slots of t−3, t, t+3. */
  previous: number;
  current: number;
  next: number;
  /** Slots of t−1 and t+1, for the motion gradient. */
  before: number;
  after: number;
}

/**
 * Keeps the frames of a video that some sample still needs in the slots of a ring, and tells which frames have all their neighbours.
 * Neighbours go by frame number; one that does not exist is replaced by the frame itself.
 */
export class ClipWindow<F extends { number: number }> {
  private readonly free: number[];
  private readonly slotOf = new Map<number, number>();
  private readonly unscored: F[] = [];
  private newest = Number.NEGATIVE_INFINITY;

  /** Slots that a window needs so that `batch` samples can be taken together. */
  static slotsFor(batch: number): number {
    return batch + 2 * sampleStride + 1;
  }

  /** @param first the first of its slots */
  constructor(slots: number, first = 0) {
    this.free = Array.from({ length: slots }, (_, i) => first + i);
  }

  /** The slot that the next frame gets, whatever is taken before it comes; none where the window is full. */
  get nextSlot(): number | undefined {
    return this.free[0];
  }

  /** Takes a frame in; returns its slot. Frame numbers must rise. */
  add(frame: F): number {
    if (frame.number <= this.newest) throw new Error(`frame ${frame.number} comes after frame ${this.newest}`);
    const slot = this.free.shift();
    if (slot === undefined) throw new Error("the window is full: take the samples that are ready");
    this.newest = frame.number;
    this.slotOf.set(frame.number, slot);
    this.unscored.push(frame);
    return slot;
  }

  /** How many frames can be scored now; with `ended`, those at the video's end as well. */
  readyCount(ended: boolean): number {
    if (ended) return this.unscored.length;
    let count = 0;
    while (count < this.unscored.length && this.unscored[count].number + sampleStride <= this.newest) count++;
    return count;
  }

  /** Takes the next `count` frames that are ready; the slots of frames that nothing needs any more become free. */
  take(count: number): ReadySample<F>[] {
    const samples = this.unscored.splice(0, count).map((frame): ReadySample<F> => {
      const current = this.slotOf.get(frame.number) as number;
      const slot = (offset: number) => this.slotOf.get(frame.number + offset) ?? current;
      return {
        frame,
        current,
        previous: slot(-sampleStride),
        next: slot(sampleStride),
        before: slot(-1),
        after: slot(1),
      };
    });
    const oldestNeeded = (this.unscored[0]?.number ?? this.newest + 1) - sampleStride;
    for (const [number, slot] of this.slotOf) {
      if (number >= oldestNeeded) break; // insertion order is number order
      this.slotOf.delete(number);
      this.free.push(slot);
    }
    return samples;
  }
}
