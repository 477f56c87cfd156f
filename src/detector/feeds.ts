// Reads the frames of several sources into slots, and puts batches together.
import type { Frame, FrameSource } from "../data/frame.js";
import { ClipWindow, type ReadySample } from "./clip_window.js";

/** A frame without its pixels, and the number of its source. */
export type SourceFrame = Omit<Frame, "data"> & { source: number };

/** Frames of a source that may wait if only the latest ones count: frames come in bursts. */
const mostReady = 2;

/** Puts a frame's pixels into a slot. */
export type Upload = (data: Uint8Array, slot: number) => Promise<void>;

/**
 * Frames of several sources on their way into batches. Each source has its own window of slots,
 * and fills it as fast as it is read and slots become free. Batches take from all sources that have
 * frames to score.
 */
export class Feeds {
  private readonly windows: ClipWindow<SourceFrame>[];
  private readonly ended: boolean[];
  /** A slot may have been filled twice since the last step, if a frame was left out. */
  private readonly newSlots = new Set<number>();
  private changed: () => void = () => {};
  private nextChange: Promise<void> = Promise.resolve();
  /** The error that ended a source early. It is thrown once the frames before it were taken. */
  private failure: unknown;
  /** An error of an upload: no frame can be scored any more, so it is thrown at once. */
  private uploadFailure: unknown;
  private closed = false;
  /** The window that comes first in the next batch: they take turns. */
  private turn = 0;

  /** Slots that all sources need together. */
  static slotsFor(batch: number, sources: number): number {
    return sources * ClipWindow.slotsFor(Math.ceil(batch / sources));
  }

  /**
   * @param latest whether only the newest frames of each source are scored: then no source waits
   */
  constructor(
    private readonly batch: number,
    sources: readonly Pick<FrameSource, "step">[],
    private readonly latest = false,
  ) {
    const slots = Feeds.slotsFor(batch, sources.length) / sources.length;
    this.windows = sources.map(({ step }, i) => new ClipWindow(slots, i * slots, step));
    this.ended = this.windows.map(() => false);
    this.arm();
  }

  /**
   * Reads a source to its end, or until another one fails. While its window is full, it waits for
   * {@link take}, or leaves out the oldest frame if only the latest ones count.
   */
  async pump(index: number, source: FrameSource, signal: AbortSignal, upload: Upload): Promise<void> {
    const window = this.windows[index];
    try {
      for await (const { data, ...frame } of source.frames(signal)) {
        signal.throwIfAborted();
        while (this.latest && window.nextSlot === undefined) window.skip(1);
        while (window.nextSlot === undefined && !this.stopped) await this.change();
        if (this.stopped) return;
        // Upload first: once a frame is in the window, a batch may take it.
        try {
          await upload(data, window.nextSlot!);
        } catch (error) {
          this.uploadFailure ??= error;
          return;
        }
        this.newSlots.add(window.add({ ...frame, source: index }));
        this.announce();
      }
      this.ended[index] = true;
    } catch (error) {
      // What came before the error ends there, as a video does.
      this.failure ??= error;
      this.ended[index] = true;
    } finally {
      this.announce();
    }
  }

  /**
   * Whether every source was read to its end and every frame was taken.
   * @throws the error that ended a source early, once all frames that can be scored were taken
   */
  get done(): boolean {
    if (this.uploadFailure !== undefined) throw this.uploadFailure;
    if (this.count > 0) return false;
    if (this.failure !== undefined) throw this.failure;
    return this.ended.every(Boolean);
  }

  /**
   * Whether there are frames for a batch: at least `least`, or fewer if no more can come before
   * some are taken.
   * @throws the error of an upload
   */
  has(least: number): boolean {
    if (this.uploadFailure !== undefined) throw this.uploadFailure;
    const { count } = this;
    if (count === 0) return false;
    const waits = (window: ClipWindow<SourceFrame>, i: number) => this.ended[i] || window.nextSlot === undefined;
    return count >= least || this.stopped || this.windows.every(waits);
  }

  /** The next batch, full or not. Each source's frames are in order; sources take turns. */
  take(): ReadySample<SourceFrame>[] {
    const samples: ReadySample<SourceFrame>[] = [];
    const { windows } = this;
    let last = this.turn - 1;
    if (this.latest) for (const [i, window] of windows.entries()) window.skip(Math.max(0, this.ready(i) - mostReady));
    for (let left = true; left && samples.length < this.batch; ) {
      left = false;
      for (let i = 0; i < windows.length && samples.length < this.batch; i++) {
        const index = (this.turn + i) % windows.length;
        const ready = this.ready(index);
        if (ready === 0) continue;
        // A single source gives all its frames at once; several give one each per round.
        const count = windows.length === 1 ? Math.min(ready, this.batch) : 1;
        samples.push(...windows[index].take(count));
        last = index;
        left = true;
      }
    }
    // Behind the last one that had a frame: a source that has none gives its turn to nobody.
    this.turn = (last + 1) % windows.length;
    this.announce();
    return samples;
  }

  /** Slots that were filled since the last call. */
  takeNewSlots(): number[] {
    const slots = [...this.newSlots];
    this.newSlots.clear();
    return slots;
  }

  /** Resolves when a frame was read or taken, or a source ended. */
  change(): Promise<void> {
    return this.nextChange;
  }

  /** Ends all {@link pump} calls. */
  close(): void {
    this.closed = true;
    this.announce();
  }

  /** Whether no source is read on. */
  private get stopped(): boolean {
    return this.closed || this.failure !== undefined || this.uploadFailure !== undefined;
  }

  /** Frames that can be scored. */
  private get count(): number {
    return this.windows.reduce((sum, _, i) => sum + this.ready(i), 0);
  }

  private ready(index: number): number {
    return this.windows[index].readyCount(this.ended[index]);
  }

  private announce(): void {
    const before = this.changed;
    this.arm();
    before();
  }

  private arm(): void {
    this.nextChange = new Promise((resolve) => {
      this.changed = resolve;
    });
  }
}
