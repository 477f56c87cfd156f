// Figures for people who look at alarms: which events a threshold finds, and its false alarms.
import type { AlarmRule } from "../watch/alarm_rule.js";
import { EventFinder, type WatchEvent } from "../watch/events.js";

/**
 * Alarms of an evaluation: the scores are smoothed already, so each frame at or above the threshold
 * counts; alarms less than a second apart are one.
 */
export const evaluationAlarmRule: AlarmRule = { average: 0, minimum: 0, release: 1, hold: 1 };

/** A video with labels. Arrays have one entry per frame. */
export interface EventVideo {
  name: string;
  /** Seconds. */
  times: ArrayLike<number>;
  scores: ArrayLike<number>;
  /** 1 if abnormal, else 0. A run of 1 is an event. */
  labels: ArrayLike<number>;
}

/** How well a threshold finds events. */
export interface EventMetrics {
  threshold: number;
  /** Labelled events, and those during which an alarm was on. */
  events: number;
  found: number;
  alarms: number;
  /** Alarms that overlap no labelled event. */
  falseAlarms: number;
  /** Hours of video. */
  hours: number;
  falseAlarmsPerHour: number;
  /** Seconds from an event's begin to the first alarm in it, over the events found. */
  delay?: { median: number; longest: number };
}

/**
 * Events and alarms of a threshold, over videos. Undefined if there are no videos.
 * @param rule how scores become alarms; default: for scores that are smoothed already
 */
export function eventMetrics(
  videos: readonly EventVideo[],
  threshold: number,
  rule: AlarmRule = evaluationAlarmRule,
): EventMetrics | undefined {
  if (videos.length === 0) return undefined;
  const delays: number[] = [];
  let [events, alarmCount, falseAlarms, seconds] = [0, 0, 0, 0];
  for (const { times, scores, labels } of videos) {
    const alarms = alarmsOf(times, scores, threshold, rule);
    const labelled = runs(labels);
    for (const { first, last } of labelled) {
      const seen = alarms.find(({ start, end }) => start.frame <= last && end.frame >= first);
      if (seen) delays.push(Math.max(0, seen.start.time - times[first]));
    }
    const isFalse = ({ start, end }: WatchEvent) =>
      !labelled.some(({ first, last }) => start.frame <= last && end.frame >= first);
    events += labelled.length;
    alarmCount += alarms.length;
    falseAlarms += alarms.filter(isFalse).length;
    seconds += duration(times);
  }
  const hours = seconds / 3600;
  const sorted = Float64Array.from(delays).sort();
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return {
    ...{ threshold, events, found: delays.length, alarms: alarmCount, falseAlarms, hours },
    falseAlarmsPerHour: hours > 0 ? falseAlarms / hours : 0,
    ...(sorted.length > 0 && { delay: { median, longest: sorted[sorted.length - 1] } }),
  };
}

/** The alarms of a video; their frames are positions. */
function alarmsOf(
  times: ArrayLike<number>,
  scores: ArrayLike<number>,
  threshold: number,
  rule: AlarmRule,
): WatchEvent[] {
  const finder = new EventFinder({ threshold }, rule);
  const alarms: WatchEvent[] = [];
  const take = (change: ReturnType<EventFinder["push"]>) => {
    if (change?.kind === "end") alarms.push(change.event);
  };
  for (let i = 0; i < scores.length; i++) take(finder.push({ frame: i, time: times[i], score: scores[i] }));
  take(finder.finish());
  return alarms;
}

/** The runs of 1, by position; both ends are inclusive. */
function runs(labels: ArrayLike<number>): { first: number; last: number }[] {
  const found: { first: number; last: number }[] = [];
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== 1) continue;
    const open = found.at(-1);
    if (open?.last === i - 1) open.last = i;
    else found.push({ first: i, last: i });
  }
  return found;
}

/** From the first frame to the end of the last, which lasts as long as the others on average. */
function duration(times: ArrayLike<number>): number {
  const { length } = times;
  if (length < 2) return 0;
  return ((times[length - 1] - times[0]) * length) / (length - 1);
}
