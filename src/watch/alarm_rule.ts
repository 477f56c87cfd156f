// How the scores of a video become alarms.
import { InputError } from "../errors.js";

/** When an event begins and ends. Times are in seconds. */
export interface AlarmRule {
  /** The level is the mean of the scores of the last so many seconds; 0: the score itself. */
  average: number;
  /** An alarm needs the level at or above the threshold for this long without a break. */
  minimum: number;
  /**
   * Hysteresis: an event lasts while the level is above the release level, which lies at this share
   * of the way from the normal level to the threshold; 0…1. At 1 it is the threshold.
   */
  release: number;
  /** An event ends once the level was below the release level for this long. */
  hold: number;
}

/** Half a second of average and of minimum: one bad frame, or an insect, raises no alarm. */
export const usualAlarmRule: AlarmRule = { average: 0.5, minimum: 0.5, release: 0.8, hold: 1 };

/** A frame's score. Times must not fall. */
export interface TimedScore {
  /** Seconds. */
  time: number;
  /** The higher, the less normal. NaN: unknown. */
  score: number;
}

/** Seconds. Times come from fractions such as 7 / 30, so they are compared with this tolerance. */
export const tolerance = 1e-6;

/**
 * The level of a video, frame by frame: what a threshold is compared with. Each frame counts as
 * lasting as long as the time since the frame before it, so that a rule in seconds means the same
 * at any frame rate. Memory holds the frames of the rule's seconds.
 */
export class Level {
  private readonly scores: TimedScore[] = [];
  private readonly levels: TimedScore[] = [];
  private first = Number.NaN;
  private last = Number.NaN;

  /** @throws InputError if the rule's numbers are out of range */
  constructor(private readonly rule: AlarmRule) {
    const { average, minimum, hold, release } = rule;
    for (const [name, seconds] of Object.entries({ average, minimum, hold })) {
      if (!(seconds >= 0 && seconds <= 3600)) {
        throw new InputError(`the rule's ${name} of ${seconds} s is not from 0 to 3600`);
      }
    }
    if (!(release >= 0 && release <= 1)) throw new InputError(`the rule's release ${release} is not from 0 to 1`);
  }

  /**
   * Takes the next frame.
   * @returns `level`: the mean score of the last `average` seconds; `sustained`: the highest
   * threshold that the level reached all through the last `minimum` seconds, that is, the highest
   * one that raises an alarm here; NaN until a video has run that long
   */
  push({ time, score }: TimedScore): { level: number; sustained: number } {
    const { average, minimum } = this.rule;
    const interval = Number.isNaN(this.last) ? 0 : time - this.last;
    if (Number.isNaN(this.first)) this.first = time;
    this.last = time;
    keepSince(this.scores, time - average);
    this.scores.push({ time, score });
    const known = this.scores.filter((one) => !Number.isNaN(one.score));
    const level = known.reduce((sum, one) => sum + one.score, 0) / known.length;
    keepSince(this.levels, time - minimum);
    this.levels.push({ time, score: level });
    const isLong = time - this.first + interval >= minimum - tolerance;
    const sustained = this.levels.reduce((least, one) => Math.min(least, one.score), Number.POSITIVE_INFINITY);
    return { level, sustained: isLong ? sustained : Number.NaN };
  }
}

/** Drops what is not later than a time. */
function keepSince(list: TimedScore[], since: number): void {
  let drop = 0;
  while (drop < list.length && list[drop].time <= since + tolerance) drop++;
  list.splice(0, drop);
}
