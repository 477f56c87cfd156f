// A histogram of levels with the threshold in it, as SVG.
import { histogram } from "../../watch/calibration.js";
import { score, ticks } from "../web/format.js";
import { coordinate as at, escaped } from "../web/static_page.js";

/** What a histogram shows. */
export interface LevelHistogram {
  /** The highest levels of spans of time. */
  values: readonly number[];
  /** What the values are of: "minutes". */
  spans: string;
  threshold: number;
  /** The median level of all frames. */
  median: number;
}

/** About so many bars. */
const usualBars = 40;

/** The size of the drawing and its margins, in units of its view box. */
const size = { width: 860, height: 358, left: 56, right: 24, top: 48, bottom: 52 };

/** Markup of the histogram. The threshold is a border between two bars. */
export function histogramMarkup({ values, spans, threshold, median }: LevelHistogram): string {
  const { width, height, left, right, top, bottom } = size;
  const bars = barsOf(values, threshold);
  const [low, high] = [bars[0].from, bars[bars.length - 1].to];
  const most = Math.max(...bars.map(({ count }) => count));
  // 1. From values to places.
  const first = Math.min(low, median);
  const room = (high - first) * 0.02;
  const x = (value: number) => left + ((value - first + room) / (high - first + 2 * room)) * (width - left - right);
  const y = (count: number) => height - bottom - (count / most) * (height - top - bottom);
  // 2. Grid and axes.
  const counts = niceValues(0, most, 5).filter(({ value }) => Number.isInteger(value));
  const levels = niceValues(first, high, 8);
  const names = ticks(
    levels.map(({ value }) => value),
    levels[0]?.step ?? 1,
  );
  const grid = [
    ...counts.map(
      ({ value }) =>
        `<path class="grid" d="M${left} ${at(y(value))}H${width - right}"/>` +
        `<text x="${left - 8}" y="${at(y(value) + 4)}" text-anchor="end">${value}</text>`,
    ),
    ...levels.map(
      ({ value }, i) =>
        `<text x="${at(x(value))}" y="${height - bottom + 20}" text-anchor="middle">${escaped(names[i])}</text>`,
    ),
    `<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">highest level</text>`,
    `<text class="side" transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(spans)}</text>`,
  ];
  // 3. Bars; even one span must be seen.
  const drawn = bars.flatMap(({ from, to, count }) => {
    if (count === 0) return [];
    const upper = Math.min(y(count), height - bottom - 3);
    const isAlarm = from >= threshold - 1e-9 * Math.abs(threshold);
    const title = `${score(from)} to ${score(to)}: ${count} of ${values.length}`;
    return [
      `<rect class="${isAlarm ? "alarm" : "bar"}" x="${at(x(from) + 0.5)}" y="${at(upper)}" width="${at(Math.max(1, x(to) - x(from) - 1))}" height="${at(height - bottom - upper)}"><title>${escaped(title)}</title></rect>`,
    ];
  });
  const lines = [
    verticalLine("median", x(median), `median ${score(median)}`),
    verticalLine("threshold", x(threshold), `threshold ${score(threshold)}`),
  ];
  const above = values.filter((value) => value >= threshold).length;
  const [least, largest] = extremes(values);
  return `<div class="chart" tabindex="0"><svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="histogram-title histogram-text">
<title id="histogram-title">Histogram of the highest levels of ${escaped(spans)}</title>
<desc id="histogram-text">${values.length} ${escaped(spans)}, from ${score(least)} to ${score(largest)}. The threshold is ${score(threshold)}: ${above} of them reach it.</desc>
${[...grid, ...drawn, ...lines].join("\n")}
</svg></div>`;
}

/** A dashed line from top to bottom with its name above, which stays within the drawing. */
function verticalLine(name: "median" | "threshold", x: number, text: string): string {
  const { width, height, right, top, bottom } = size;
  // So near to a side, the name begins or ends there: on a phone it has some 200 units.
  const near = 100;
  const [place, anchor] =
    x > width - near ? [width - right, "end"] : x < near ? [Math.max(x - 6, 0), "start"] : [x, "middle"];
  const row = name === "threshold" ? top - 30 : top - 8;
  return `<path class="${name}" d="M${at(x)} ${top}V${height - bottom}"/><text class="${name}" x="${at(place)}" text-anchor="${anchor}" y="${row}">${escaped(text)}</text>`;
}

/** Bars of one width from the least value to the largest or the threshold, whichever is higher. */
function barsOf(values: readonly number[], threshold: number) {
  const [least, most] = extremes(values);
  const largest = Math.max(most, threshold);
  const span = largest - least || Math.max(Math.abs(largest), 1) * 1e-3;
  const below = Math.max(0, threshold - least);
  const width = below > 0 ? below / Math.max(1, Math.round((usualBars * below) / span)) : span / usualBars;
  // A little less than a bar more is none: the ratio is not exact.
  const count = Math.max(1, Math.ceil(span / width - 1e-6));
  return histogram(values, count, least + count * width);
}

function extremes(values: readonly number[]): [least: number, most: number] {
  return values.reduce(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}

/** Round values within a range, about `most` of them. */
function niceValues(low: number, high: number, most: number): { value: number; step: number }[] {
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, i) => ({ value: (first + i) * step, step }));
}
