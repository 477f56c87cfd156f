// Learns from a camera's own video what is normal: the threshold, and from which values on a region
// is abnormal.
import type { TokenScoring } from "../../detector/frame_score.js";
import { scoreLimit } from "../../detector/settings.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import { InputError } from "../../errors.js";
import type { AlarmRule } from "../../watch/alarm_rule.js";
import { minutePeaks, NormalCollector, type NormalLevels, thresholdFor } from "../../watch/calibration.js";
import { mapQuantiles, ValueSample } from "../../watch/value_sample.js";

/** What is normal for a camera, by the scores of one model and settings. */
export interface NormalState {
  /** From here on a level is abnormal. */
  threshold: number;
  /** The median level. */
  normal: number;
  alarmsPerDay: number;
  /** See `RateThreshold` of src/watch/calibration.ts. */
  extrapolation: number;
  /** Seconds of video that it was learnt from. */
  seconds: number;
  /** A value of the map above this makes a region. */
  mapHigh: number;
  /** The highest level of each minute. */
  minutes: number[];
}

/** Seconds of video after which there is a first threshold. */
export const FIRST = 10 * 60;
/** Seconds of video from which more adds nothing. */
export const LONGEST = 24 * 3600;

/** Above this share of the largest score, the median of normal video leaves no room for events. */
const MOST_NORMAL = 0.5;
/** Above this share of the largest score, hardly anything reaches a threshold. */
const MOST_THRESHOLD = 0.995;

/**
 * Says in one line that a model finds normal video abnormal, so that nothing stands out from it;
 * undefined if it does not.
 */
export function misfitOf(
  { normal, threshold }: Pick<NormalState, "normal" | "threshold">,
  how: { frameScore: TokenScoring },
): string | undefined {
  const limit = scoreLimit(how);
  if (limit === undefined) return undefined;
  const why = "the model does not fit this camera, or fps is not the rate that it was trained with";
  if (normal > MOST_NORMAL * limit)
    return `half of normal video has levels above ${normal.toPrecision(2)}, of at most ${limit}: ${why}`;
  if (threshold <= MOST_THRESHOLD * limit) return undefined;
  const first = `levels are at most ${limit}: nothing will ever reach the threshold ${threshold.toFixed(4)}`;
  return `${first}; something abnormal was in the normal video, or ${why}`;
}

/** What was seen of normal video so far: enough to go on after a restart. */
export interface SeenNormal {
  /** Seconds of video. */
  seconds: number;
  /** The highest threshold that raises an alarm in each block of 5 s. */
  blocks: number[];
  /** The median level. */
  median: number;
  /** As `NormalState.mapHigh`. */
  mapHigh: number;
}

/** Learns a camera's normal state. It finds thresholds after 10 minutes, 20, 40, … up to a day. */
export class Learner {
  private readonly collector: NormalCollector;
  private readonly sample = new ValueSample();
  private next: number;
  /** Of video that was seen, those of earlier processes too. */
  seconds = 0;
  private last = Number.NaN;

  /**
   * @param before what an earlier process has seen
   * @param first seconds until the first threshold
   */
  constructor(
    rule: AlarmRule,
    private readonly alarmsPerDay: number,
    readonly frameScore: TokenScoring,
    private readonly before: SeenNormal = { seconds: 0, blocks: [], median: 0, mapHigh: 0 },
    first = FIRST,
  ) {
    this.collector = new NormalCollector(rule);
    this.seconds = before.seconds;
    this.next = first;
    while (this.next <= before.seconds) this.next *= 2;
  }

  /**
   * Takes a frame's score and map.
   * @param time seconds; must not fall
   * @returns a new state, if it is time for one
   */
  push(time: number, score: number, map: ScoreMap): NormalState | undefined {
    if (this.seconds >= LONGEST) return undefined;
    if (!Number.isNaN(this.last)) this.seconds += time - this.last;
    this.last = time;
    this.collector.push({ time, score });
    this.sample.add(map.data);
    if (this.seconds < this.next) return undefined;
    this.next *= 2;
    return this.state();
  }

  /** The video is interrupted: the next frame is no neighbour. */
  interrupt(): void {
    this.collector.endVideo();
    this.last = Number.NaN;
  }

  /** Of these, what this process has seen. */
  get added(): number {
    return this.seconds - this.before.seconds;
  }

  /** Share of the time until the first threshold that has passed, at most 1. */
  get progress(): number {
    return Math.min(1, this.seconds / this.next);
  }

  /** What was seen so far; undefined if there is nothing yet. */
  get seen(): SeenNormal | undefined {
    const before = this.before;
    let levels: NormalLevels;
    try {
      levels = this.collector.levels();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return before.seconds > 0 ? before : undefined;
    }
    const seconds = before.seconds + levels.seconds;
    // Of medians and quantiles only means are known.
    const mean = (a: number, b: number) => (before.seconds * a + levels.seconds * b) / (seconds || 1);
    return {
      ...{ seconds, blocks: [...before.blocks, ...levels.blocks], median: mean(before.median, levels.median) },
      mapHigh: mean(before.mapHigh, this.sample.quantile(mapQuantiles.high)),
    };
  }

  private state(): NormalState | undefined {
    const { seen } = this;
    return seen && normalState(seen, this.alarmsPerDay, this.frameScore);
  }
}

/** What is normal, by what was seen; undefined if that is too little. */
export function normalState(
  { mapHigh, ...normal }: SeenNormal,
  alarms: number,
  frameScore: TokenScoring,
): NormalState | undefined {
  try {
    const { threshold, alarmsPerDay, extrapolation } = thresholdFor(normal, alarms, scoreLimit({ frameScore }));
    return {
      ...{ threshold, alarmsPerDay, extrapolation, normal: normal.median, seconds: normal.seconds },
      mapHigh,
      minutes: minutePeaks(normal),
    };
  } catch (error) {
    // Many short connections may give less than a minute that counts.
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
