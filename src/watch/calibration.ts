// From the scores of normal video to a threshold for a wanted number of false alarms.
import { quantile } from "../data/quantile.js";
import { InputError } from "../errors.js";
import { type AlarmRule, Level, type TimedScore } from "./alarm_rule.js";

/** Seconds of a block. Alarms that are not further apart count as one. */
export const blockSeconds = 5;
/** The least normal video from which a threshold for a rate is made, in blocks: one minute. */
const leastBlocks = 12;
/** From this many minutes on, the tail is that of minutes; below, that of blocks. */
const leastMinutes = 30;

/** What was seen of normal video. */
export interface NormalLevels {
  /** Seconds of video. */
  seconds: number;
  /** The median of the level. */
  median: number;
  /** The highest threshold that raises an alarm in each block of {@link blockSeconds}, in order. */
  blocks: readonly number[];
}

/** A threshold, and what it means on the normal video it was made from. */
export interface RateThreshold {
  threshold: number;
  alarmsPerDay: number;
  /**
   * How many times longer than the normal video one must watch to expect an alarm at this rate. At
   * most 1: the video itself shows the threshold. Above: it is an estimate from the tail.
   */
  extrapolation: number;
}

/**
 * Collects the levels of normal videos. Per frame it keeps 4 bytes, for quantiles.
 */
export class NormalCollector {
  private readonly blocks: number[] = [];
  private values = new Float32Array(4096);
  private count = 0;
  private total = 0;
  private level: Level;
  private video?: { start: number; last: number; block: number; peak: number };

  /** @throws InputError if the rule's numbers are out of range */
  constructor(private readonly rule: AlarmRule) {
    this.level = new Level(rule);
  }

  /** Takes the next frame of a video. */
  push(frame: TimedScore): void {
    const { time } = frame;
    const { sustained } = this.level.push(frame);
    this.video ??= { start: time, last: time, block: 0, peak: Number.NaN };
    const video = this.video;
    const block = Math.floor((time - video.start) / blockSeconds + 1e-9);
    if (block > video.block) {
      this.closeBlock();
      video.block = block;
    }
    video.last = time;
    if (Number.isNaN(sustained)) return;
    video.peak = Number.isNaN(video.peak) ? sustained : Math.max(video.peak, sustained);
    if (this.count === this.values.length) {
      const more = new Float32Array(2 * this.count);
      more.set(this.values);
      this.values = more;
    }
    this.values[this.count++] = sustained;
  }

  /** Ends a video; the next frame belongs to another. */
  endVideo(): void {
    const video = this.video;
    if (!video) return;
    this.closeBlock();
    this.total += video.last - video.start;
    this.video = undefined;
    this.level = new Level(this.rule);
  }

  /** What was seen. @throws InputError if no frame has a level */
  finish(): NormalLevels {
    this.endVideo();
    return this.levels();
  }

  /** What was seen so far; the block that is not over is left out. @throws InputError as finish */
  levels(): NormalLevels {
    const { video } = this;
    const seconds = this.total + (video ? video.last - video.start : 0);
    return { seconds, median: this.quantile(0.5), blocks: [...this.blocks] };
  }

  /** A quantile of the levels that raise alarms. @throws InputError if there are none */
  quantile(q: number): number {
    if (this.count === 0) throw new InputError("the normal video is too short: no frame of it has a level");
    return quantile(this.values.subarray(0, this.count), q);
  }

  private closeBlock(): void {
    const video = this.video;
    if (!video || Number.isNaN(video.peak)) return;
    this.blocks.push(video.peak);
    video.peak = Number.NaN;
  }
}

/** The peaks of minutes: of every twelve blocks, and of what remains. */
export function minutePeaks({ blocks }: NormalLevels): number[] {
  return groupPeaks(blocks, 60 / blockSeconds);
}

function groupPeaks(values: readonly number[], size: number): number[] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) =>
    Math.max(...values.slice(i * size, (i + 1) * size)),
  );
}

/** How many alarms a threshold raises on the normal video: runs of blocks that reach it. */
export function alarmsAt({ blocks }: NormalLevels, threshold: number): number {
  return blocks.filter((peak, i) => peak >= threshold && !(i > 0 && blocks[i - 1] >= threshold)).length;
}

/**
 * Refuses normal videos that are too short for a threshold, before they are scored.
 * @param seconds from the first frame to the last, of each video
 * @throws InputError if they cannot fill a minute
 */
export function checkLengths(seconds: readonly number[]): void {
  if (!areLongEnough(seconds)) throw tooShort(seconds.reduce((sum, length) => sum + length, 0));
}

/** Whether normal videos can fill a minute. @param seconds as for {@link checkLengths} */
export function areLongEnough(seconds: readonly number[]): boolean {
  // A video begins a block at its first frame, and at every multiple of a block's length.
  const most = seconds.reduce((sum, length) => sum + Math.floor(length / blockSeconds + 1e-9) + 1, 0);
  return most >= leastBlocks;
}

function tooShort(seconds: number): InputError {
  return new InputError(
    `${seconds.toFixed(0)} s of normal video are too little for a threshold: give at least a minute, better a day`,
  );
}

/**
 * The threshold for a rate of false alarms. If the normal video is long enough to hold one alarm
 * at this rate, it lies between the peaks that may raise alarms and those that may not. Otherwise
 * it is extrapolated: the fifth of the units (minutes, or blocks of 5 s below 30 minutes) with the
 * highest peaks is taken for an exponential tail, which is continued. It is always above the
 * highest peak then.
 * @param limit the largest score that is possible, if there is one; the tail approaches it, so that
 * the threshold stays below
 * @throws InputError if there is less than a minute of normal video
 */
export function thresholdFor(normal: NormalLevels, alarmsPerDay: number, limit?: number): RateThreshold {
  const { blocks } = normal;
  if (blocks.length < leastBlocks) throw tooShort(normal.seconds);
  if (!(alarmsPerDay > 0)) throw new InputError(`${alarmsPerDay} alarms per day are not above 0`);
  const inMinutes = blocks.length >= leastMinutes * (60 / blockSeconds);
  const units = inMinutes ? minutePeaks(normal) : blocks;
  const share = (alarmsPerDay * (inMinutes ? 60 : blockSeconds)) / 86_400;
  const expected = share * units.length;
  // Falling.
  const peaks = Float64Array.from(units).sort().reverse();
  const extrapolation = 1 / expected;
  if (expected >= 1) {
    const allowed = Math.min(Math.floor(expected), peaks.length - 1);
    const [least, next] = peaks.subarray(allowed - 1, allowed + 1);
    // Of equal peaks all would raise alarms: of still video, all that there are.
    return { threshold: least > next ? (least + next) / 2 : justAbove(least), alarmsPerDay, extrapolation };
  }
  return { threshold: tailThreshold(peaks, share, limit), alarmsPerDay, extrapolation };
}

/**
 * @param peaks falling
 * @param share of the units that may reach the threshold, below 1 / their count
 */
function tailThreshold(peaks: Float64Array, share: number, limit: number | undefined): number {
  const bounded = limit !== undefined && peaks[0] < limit;
  // A bounded score is stretched to 0…∞, so that its tail can be exponential.
  const stretch = (value: number) => (bounded ? -Math.log(1 - value / limit) : value);
  const shrink = (value: number) => (bounded ? limit * (1 - Math.exp(-value)) : value);
  const stretched = peaks.map(stretch);
  const count = Math.max(5, Math.round(peaks.length / 5));
  const from = stretched[count];
  const meanExcess = stretched.subarray(0, count).reduce((sum, value) => sum + value - from, 0) / count;
  const threshold = shrink(from + meanExcess * Math.log(count / peaks.length / share));
  // The same video must raise no alarm.
  return Math.max(threshold, justAbove(peaks[0]));
}

const justAbove = (value: number): number => value + Math.max(Math.abs(value), 1e-6) * 1e-6;

/** A bar of a histogram: how many values are from `from` (inclusive) to `to` (exclusive). */
export interface HistogramBar {
  from: number;
  to: number;
  count: number;
}

/**
 * Values counted in `bars` bars of one width from their least to `to`; the last bar includes its
 * end.
 * @param to at least the largest value, such as a threshold above all of them
 */
export function histogram(values: readonly number[], bars: number, to: number): HistogramBar[] {
  const from = values.reduce((least, value) => Math.min(least, value), to);
  const width = (to - from) / bars || 1;
  const counts = new Array<number>(bars).fill(0);
  for (const value of values) counts[Math.max(0, Math.min(bars - 1, Math.floor((value - from) / width)))]++;
  return counts.map((count, i) => ({ from: from + i * width, to: from + (i + 1) * width, count }));
}
