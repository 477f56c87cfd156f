// What `calibrate` prints: the histogram of normal minutes, the threshold, what the data support.
import { duration, score } from "../../report/web/format.js";
import {
  alarmsAt,
  blockSeconds,
  histogram,
  minutePeaks,
  type NormalLevels,
  type RateThreshold,
} from "../../watch/calibration.js";

const bars = 16;
/** Columns of the longest bar. */
const widest = 40;

/** The lines that `calibrate` prints. */
export function calibrationLines(normal: NormalLevels, found: RateThreshold): string[] {
  const { threshold } = found;
  // A few minutes make no histogram; their blocks do.
  const minutes = minutePeaks(normal);
  const [values, unit] = minutes.length >= 10 ? [minutes, "minute"] : [normal.blocks, `${blockSeconds} s`];
  return [
    `highest level of each ${unit}, in ${duration(normal.seconds)} of normal video:`,
    "",
    ...histogramLines(values, threshold),
    "",
    `threshold ${score(threshold)} for ${alarmRate(found.alarmsPerDay)}`,
    ...supportLines(normal, found),
  ];
}

/** Bars with their ranges; a rule shows where the threshold lies. */
export function histogramLines(values: readonly number[], threshold: number): string[] {
  const highest = values.reduce((most, value) => Math.max(most, value), threshold);
  const all = histogram(values, bars, highest);
  const most = Math.max(...all.map(({ count }) => count));
  const lines: string[] = [];
  const mark = (value: number) => `${score(value).padStart(10)}  ${"╌".repeat(widest / 2)} threshold`;
  for (const { from, to, count } of all) {
    const isHere = threshold >= from && threshold < to;
    if (isHere && lines.length > 0) lines.push(mark(threshold));
    const bar = count === 0 ? "" : "█".repeat(Math.max(1, Math.round((widest * count) / most)));
    lines.push(`${score(from).padStart(10)}  ${bar}${bar ? " " : ""}${count || ""}`.trimEnd());
  }
  if (!lines.some((line) => line.endsWith("threshold"))) lines.push(mark(threshold));
  return lines;
}

/** What this much normal video can tell, and what it cannot. */
function supportLines(normal: NormalLevels, { threshold, alarmsPerDay, extrapolation }: RateThreshold): string[] {
  const watched = duration(normal.seconds);
  const alarms = alarmsAt(normal, threshold);
  const seen = `the normal video raises ${alarms} alarm${alarms === 1 ? "" : "s"} at this threshold, in ${watched}`;
  if (extrapolation <= 1) return [seen];
  const times = extrapolation < 10 ? extrapolation.toFixed(1) : Math.round(extrapolation).toString();
  const needed = duration(86_400 / alarmsPerDay);
  // With no alarm in a time t, a rate above 3 / t is ruled out with 95 % confidence.
  const bound = (3 * 86_400) / normal.seconds;
  return [
    `${seen}: this only shows, with 95 % confidence, that there are fewer than ${alarmRate(bound)}`,
    `so the threshold is an estimate: the tail of the histogram is continued ${times}-fold; ${needed} of normal video would measure it`,
  ];
}

/** A rate of alarms in words. */
export function alarmRate(perDay: number): string {
  const digits = (value: number) => (value < 10 ? Number(value.toPrecision(2)) : Math.round(value));
  if (perDay >= 72) return `${digits(perDay / 24)} alarms per hour`;
  return `${digits(perDay)} alarm${perDay === 1 ? "" : "s"} per day`;
}
