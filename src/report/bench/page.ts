// The page of a benchmark: finished markup, with plots as SVG, and tables.
import { script, style } from "virtual:bench-page";
import { score } from "../web/format.js";
import { coordinate as at, escaped, type StaticPage, staticPage } from "../web/static_page.js";

/** The parts of a benchmark's page. */
export interface BenchPage extends Omit<StaticPage, "script" | "style"> {
  /** Whether all was measured. A page is written many times, and a run may be stopped. */
  complete: boolean;
}

/** A value, and the range of its measurements. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** A line of a plot. */
export interface PlotLine {
  name: string;
  /** Whether it is the engine's: drawn as a thick line. */
  own: boolean;
  points: readonly {
    x: number;
    /** A spread is drawn as a bar through its median. */
    y: number | Spread;
    /** The tooltip. */
    title: string;
    /** The text above the point. */
    label?: string;
  }[];
}

/** The axes of a plot, and its names. */
export interface PlotAxes {
  /** A prefix for ids, unique on the page. */
  id: string;
  title: string;
  x: string;
  y: string;
  /** For readers who cannot see the plot. */
  description: string;
}

/** The note on a page that was written before the end. */
const unfinished = "The run has not finished: this page shows what was measured so far.";

/** The size of a plot and its margins, in units of its view box. */
const plot = { width: 860, height: 460, left: 70, right: 24, top: 16, bottom: 52 };

/** The number of colours for lines in bench/page/style.css; further lines are dashed. */
const colors = 5;

/** A benchmark's page as one HTML file that loads nothing. */
export function benchPage({ notes = [], complete, ...parts }: BenchPage): string {
  return staticPage({ ...parts, notes: complete ? notes : [...notes, unfinished], script, style });
}

/** The classes of the i-th line; i gives its colour. */
function classesOf({ own }: PlotLine, i: number): string {
  return `${own ? "own" : "peer"}${i >= colors ? " dashed" : ""} color-${(i % colors) + 1}`;
}

/**
 * Markup of a plot on logarithmic axes, below the names of its lines. Without points it is a
 * sentence.
 */
export function logarithmicPlot(axes: PlotAxes, lines: readonly PlotLine[]): string {
  if (lines.every(({ points }) => points.length === 0)) return "<p>Nothing could be measured.</p>";
  return `${legend(lines)}\n<div class="chart" tabindex="0">${drawing(axes, lines)}</div>`;
}

function legend(lines: readonly PlotLine[]): string {
  const items = lines.map((line, i) => {
    const swatch = `<svg width="28" height="12" aria-hidden="true"><path class="${classesOf(line, i)}" d="M0 6H28"/></svg>`;
    return `<li>${swatch}<span>${escaped(line.name)}</span></li>`;
  });
  return `<ul class="key">${items.join("\n")}</ul>`;
}

/** A logarithmic axis: a function from low…high to from…to. */
function logarithmic(low: number, high: number, from: number, to: number): (value: number) => number {
  const [a, b] = [Math.log(low), Math.log(high)];
  return (value) => from + ((Math.log(value) - a) / (b - a)) * (to - from);
}

/**
 * 1, 2 and 5 times the powers of ten in a range; only the powers if these are many, more values if
 * they are few.
 */
function logarithmicTicks(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const within = (factors: readonly number[]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((value) => value >= low && value <= high);
  const all = within([1, 2, 5]);
  if (all.length > 10) return within([1]);
  return all.length > 2 ? all : within([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]);
}

const spreadOf = (y: number | Spread): Spread => (typeof y === "number" ? { median: y, min: y, max: y } : y);

function drawing(axes: PlotAxes, lines: readonly PlotLine[]): string {
  const drawn = lines.map((line, i) => {
    const points = line.points.map((point) => ({ ...point, y: spreadOf(point.y) })).sort((a, b) => a.x - b.x);
    return { classes: classesOf(line, i), points };
  });
  const points = drawn.flatMap((line) => line.points);
  const xs = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
  const { width, height, left, right, top, bottom } = plot;
  const x = logarithmic(xs[0] / 1.4, (xs.at(-1) as number) * 1.4, left, width - right);
  const low = Math.min(...points.map(({ y }) => y.min)) / 1.3;
  const high = Math.max(...points.map(({ y }) => y.max)) * 1.3;
  const y = logarithmic(low, high, height - bottom, top);
  const grid = gridOf(axes, { xs, ys: logarithmicTicks(low, high), x, y });
  const curves = drawn.map(({ classes, points }) => {
    const path = points.map((point, i) => `${i === 0 ? "M" : "L"}${at(x(point.x))} ${at(y(point.y.median))}`).join("");
    const ranges = points.map((point) => `M${at(x(point.x))} ${at(y(point.y.min))}V${at(y(point.y.max))}`).join("");
    const dots = points.map(
      (point) =>
        `<circle cx="${at(x(point.x))}" cy="${at(y(point.y.median))}" r="4.5"><title>${escaped(point.title)}</title></circle>`,
    );
    const labels = points.map(({ label, ...point }) =>
      label === undefined
        ? ""
        : `<text class="value" x="${at(x(point.x) + 9)}" y="${at(y(point.y.median) - 9)}">${escaped(label)}</text>`,
    );
    return `<g class="${classes}"><path class="range" d="${ranges}"/><path class="line ${classes}" d="${path}"/>${dots.join("")}${labels.join("")}</g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${axes.id}-title ${axes.id}-text">
<title id="${axes.id}-title">${escaped(axes.title)}</title>
<desc id="${axes.id}-text">${escaped(axes.description)}</desc>
${[...grid, ...curves].join("\n")}
</svg>`;
}

/** The grid lines with their values, and the names of the axes. */
function gridOf(
  axes: PlotAxes,
  { xs, ys, x, y }: Record<"xs" | "ys", readonly number[]> & Record<"x" | "y", (value: number) => number>,
): string[] {
  const { width, height, left, right, top, bottom } = plot;
  const text = (rest: string, content: string) => `<text ${rest} text-anchor="middle">${content}</text>`;
  return [
    ...ys.map(
      (value) =>
        `<path class="grid" d="M${left} ${at(y(value))}H${width - right}"/>` +
        `<text x="${left - 8}" y="${at(y(value) + 4)}" text-anchor="end">${value}</text>`,
    ),
    ...xs.map(
      (value) =>
        `<path class="grid" d="M${at(x(value))} ${top}V${height - bottom}"/>` +
        text(`x="${at(x(value))}" y="${height - bottom + 20}"`, String(value)),
    ),
    text(`x="${(left + width - right) / 2}" y="${height - 8}"`, escaped(axes.x)),
    text(`transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)"`, escaped(axes.y)),
  ];
}

/** A median and its range: "12.3 frames/s (11.9 to 12.8)". */
export function shownSpread({ median, min, max }: Spread, unit: string): string {
  return `${score(median)} ${unit} (${score(min)} to ${score(max)})`;
}

/** Three digits. @param value in milliseconds */
export function shownMs(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
