// What `calibrate` prints: the histogram of normal minutes, the threshold, what the data support.
import { histogramValues } from "../../report/calibration/page_file.js";
import { rate, support } from "../../report/calibration/texts.js";
import { duration, score } from "../../report/web/format.js";
import { histogram, type NormalLevels, type RateThreshold } from "../../watch/calibration.js";

const bars = 16;
/** Columns of the longest bar. */
const widest = 40;

/** The lines that `calibrate` prints. */
export function calibrationLines(normal: NormalLevels, found: RateThreshold): string[] {
  const { threshold } = found;
  const { values, unit } = histogramValues(normal);
  return [
    `highest level of each ${unit}, in ${duration(normal.seconds)} of normal video; each row begins at the level shown:`,
    "",
    ...histogramLines(values, threshold),
    "",
    thresholdLine(found),
    ...support(normal, found),
  ];
}

/** "threshold 0.42 for 1 alarm per day". */
export function thresholdLine({ threshold, alarmsPerDay }: RateThreshold): string {
  return `threshold ${score(threshold)} for ${rate(alarmsPerDay)}`;
}

/**
 * A bar in each row, after its lower edge. The threshold is marked below the bar whose range holds
 * it.
 */
export function histogramLines(values: readonly number[], threshold: number): string[] {
  const highest = values.reduce((most, value) => Math.max(most, value), threshold);
  const all = histogram(values, bars, highest);
  const most = Math.max(...all.map(({ count }) => count));
  const lines: string[] = [];
  const mark = (value: number) => `${score(value).padStart(10)}  ${"╌".repeat(widest / 2)} threshold`;
  for (const { from, to, count } of all) {
    const bar = count === 0 ? "" : "█".repeat(Math.max(1, Math.round((widest * count) / most)));
    lines.push(`${score(from).padStart(10)}  ${bar}${bar ? " " : ""}${count || ""}`.trimEnd());
    if (threshold >= from && threshold < to) lines.push(mark(threshold));
  }
  // The last bar includes its end.
  if (!lines.some((line) => line.endsWith("threshold"))) lines.push(mark(threshold));
  return lines;
}
