// Which frames of a video are in which slots, and which of them can be scored.
import { sampleStride } from "../data/frame.js";

/** A frame that can be scored, and the ring slots of the frames that its sample needs. */
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
 * Assigns ring slots to the frames of a video, for as long as a sample needs them, and finds the
 * frames that have all their neighbours. Neighbours go by frame number; if one does not exist, the
 * frame itself takes its place (docs/method.md §1).
 */
export class ClipWindow<F extends { number: number }> {
  private readonly free: number[];
  private readonly slotOf = new Map<number, number>();
  private readonly unscored: F[] = [];
  private newest = Number.NEGATIVE_INFINITY;

  /** Slots that a window needs if `batch` samples are to be taken together. */
  static slotsFor(batch: number): number {
    return batch + 2 * sampleStride + 1;
  }

  /**
   * @param first number of its first slot
   * @param step distance of neighbouring frames' numbers; no two numbers may be closer
   */
  constructor(
    slots: number,
    first = 0,
    private readonly step = 1,
  ) {
    this.free = Array.from({ length: slots }, (_, i) => first + i);
  }

  /** The slot of the next frame, even if samples are taken before; undefined if all are in use. */
  get nextSlot(): number | undefined {
    return this.free[0];
  }

  /**
   * Adds a frame. Frame numbers must rise.
   * @returns its slot
   */
  add(frame: F): number {
    if (frame.number <= this.newest) throw new Error(`frame ${frame.number} comes after frame ${this.newest}`);
    const slot = this.free.shift();
    if (slot === undefined) throw new Error("the window is full: take the samples that are ready");
    this.newest = frame.number;
    this.slotOf.set(frame.number, slot);
    this.unscored.push(frame);
    return slot;
  }

  /** How many frames can be scored now. After the video has `ended`, its last ones can be too. */
  readyCount(ended: boolean): number {
    if (ended) return this.unscored.length;
    let count = 0;
    while (count < this.unscored.length && this.unscored[count].number + sampleStride * this.step <= this.newest)
      count++;
    return count;
  }

  /** Takes the next `count` frames that are ready, and frees the slots that no later one needs. */
  take(count: number): ReadySample<F>[] {
    const samples = this.unscored.splice(0, count).map((frame) => this.sampleOf(frame));
    this.freeSlots();
    return samples;
  }

  /** Leaves out the next `count` frames. They still serve later ones as neighbours. */
  skip(count: number): void {
    this.unscored.splice(0, count);
    this.freeSlots();
  }

  private sampleOf(frame: F): ReadySample<F> {
    const current = this.slotOf.get(frame.number)!;
    const slot = (offset: number) => this.slotOf.get(frame.number + offset * this.step) ?? current;
    return {
      frame,
      current,
      previous: slot(-sampleStride),
      next: slot(sampleStride),
      before: slot(-1),
      after: slot(1),
    };
  }

  private freeSlots(): void {
    const oldestNeeded = (this.unscored[0]?.number ?? this.newest + this.step) - sampleStride * this.step;
    for (const [number, slot] of this.slotOf) {
      if (number >= oldestNeeded) break; // Numbers were inserted in rising order.
      this.slotOf.delete(number);
      this.free.push(slot);
    }
  }
}
