import { style as pageStyle } from "virtual:training-page";
import { htmlPage } from "./html.js";
import { score } from "./page/format.js";

/** What was seen of one contestant at one batch size. */
export interface ComparisonFigure {
  /** Its name, with the precision where there are several. */
  contestant: string;
  /** Whether it is the engine that the others are peers of. */
  own: boolean;
  /** Frames of a step. */
  batch: number;
  /** Frames a second; absent where it failed. */
  fps?: { median: number; min: number; max: number; measurements: number };
  /** Its frames a second over those of the best peer at this batch size. */
  ratio?: number;
  /** Of a batch by itself, from submission until it is done. */
  latencyMs?: number;
  /** GPU memory, bytes. */
  memoryBytes?: number;
  /** The variant that it was. */
  how?: string;
  /** Why it failed. */
  error?: string;
}

/** What a comparison's page shows. */
export interface ComparisonData {
  title: string;
  /** ISO 8601. */
  created: string;
  figures: readonly ComparisonFigure[];
  /** What was not measured and why, and other remarks. */
  notes: readonly string[];
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
}

/** A point of the plot. */
type Measured = ComparisonFigure & { fps: NonNullable<ComparisonFigure["fps"]> };

/** The plot in units of its view box. */
const plot = { width: 860, height: 460, left: 70, right: 24, top: 16, bottom: 52 };

/** Colours of base.css; further lines are dashed. */
const colors = 5;

const style = `${pageStyle}
.chart { overflow-x: auto; }
.chart svg { display: block; width: 100%; min-width: 560px; height: auto; }
.chart text { fill: var(--muted); font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.chart .grid { stroke: var(--grid); }
.chart .line, .chart .range, .key svg path { fill: none; stroke: currentcolor; stroke-width: 2; }
.chart .range { stroke-width: 1.5; opacity: 0.6; }
.chart .own, .key svg .own { stroke-width: 3.5; }
.chart circle { fill: currentcolor; stroke: var(--surface); stroke-width: 1.5; }
.line.dashed, .key .dashed { stroke-dasharray: 7 5; }
${Array.from({ length: colors }, (_, i) => `.color-${i + 1} { color: var(--curve-${i + 1}); }`).join("\n")}
.scroll { max-height: none; }
.scroll th:first-child, .scroll td:first-child, .scroll .words { text-align: left; }
.scroll th:last-child, .scroll td:last-child { display: table-cell; }
.scroll .words { white-space: normal; min-width: 14em; }
.scroll caption { text-align: left; color: var(--muted); padding-bottom: 8px; }
.scroll tr.own th, .scroll tr.own td { font-weight: 600; background: var(--raised); }
.scroll tbody th { font-weight: inherit; }
`;

/** The button that the other pages have; without scripts the system's choice of colours stays. */
const script = `
const button = document.createElement("button");
button.type = "button";
button.className = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
let dark;
const show = () => {
  const now = dark ?? system.matches;
  document.documentElement.style.colorScheme = now ? "dark" : "light";
  button.textContent = now ? "Light" : "Dark";
  button.setAttribute("aria-label", "Show in " + (now ? "light" : "dark") + " colours");
};
button.addEventListener("click", () => { dark = !(dark ?? system.matches); show(); });
system.addEventListener("change", show);
show();
document.querySelector("header").append(button);
`;

/**
 * A comparison as one HTML file that loads nothing: frames a second against batch size on logarithmic axes, a line a contestant, and a table
 * of all figures below.
 */
export function comparisonPage({ title, created, figures, notes, facts }: ComparisonData): string {
  const date = `<p class="date"><time datetime="${escaped(created)}">${escaped(created.slice(0, 16).replace("T", " "))} UTC</time></p>`;
  const list = (items: readonly string[]) => items.map((item) => `<li>${escaped(item)}</li>`).join("\n");
  const rows = facts.map(
    ([name, value]) => `<div><dt>${escaped(name)}</dt><dd><bdi>${escaped(value)}</bdi></dd></div>`,
  );
  const body = `<main>
<header><div><h1>${escaped(title)}</h1>${date}</div></header>
${section("speed", "Frames a second by batch size", `${legend(figures)}\n<div class="chart" tabindex="0">${comparisonPlot(figures)}</div>`)}
${section("figures", "Figures", comparisonTable(figures))}
${notes.length > 0 ? section("notes", "Notes", `<ul>${list(notes)}</ul>`) : ""}
${section("facts", "Settings and versions", `<dl class="facts">${rows.join("\n")}</dl>`)}
</main>`;
  return htmlPage({ title, script, style, body });
}

function section(id: string, heading: string, content: string): string {
  return `<section id="${id}" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${heading}</h2>\n${content}</section>`;
}

const isMeasured = (figure: ComparisonFigure): figure is Measured => figure.fps !== undefined;

/** Those that were measured at all, in the order in which they come, with what their lines look like. */
function lines(figures: readonly ComparisonFigure[]): { name: string; classes: string; points: Measured[] }[] {
  const names = [...new Set(figures.filter(isMeasured).map(({ contestant }) => contestant))];
  return names.map((name, i) => {
    const points = figures.filter(isMeasured).filter(({ contestant }) => contestant === name);
    points.sort((a, b) => a.batch - b.batch);
    const dashed = i >= colors ? " dashed" : "";
    return {
      name,
      classes: `${points.some(({ own }) => own) ? "own" : "peer"}${dashed} color-${(i % colors) + 1}`,
      points,
    };
  });
}

function legend(figures: readonly ComparisonFigure[]): string {
  const items = lines(figures).map(({ name, classes }) => {
    const swatch = `<svg width="28" height="12" aria-hidden="true"><path class="${classes}" d="M0 6H28"/></svg>`;
    return `<li>${swatch}<span>${escaped(name)}</span></li>`;
  });
  return `<ul class="key">${items.join("\n")}</ul>`;
}

/** A logarithmic axis: maps its range to a length. */
function logarithmic(low: number, high: number, from: number, to: number): (value: number) => number {
  const [a, b] = [Math.log(low), Math.log(high)];
  return (value) => from + ((Math.log(value) - a) / (b - a)) * (to - from);
}

/** 1, 2, 5 and their tenfolds in a range; the powers of ten alone where that are many. */
function logarithmicTicks(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const within = (factors: readonly number[]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((value) => value >= low && value <= high);
  const all = within([1, 2, 5]);
  return all.length > 10 ? within([1]) : all;
}

/** The plot as an SVG element; a sentence where nothing was measured. */
export function comparisonPlot(figures: readonly ComparisonFigure[]): string {
  const measured = figures.filter(isMeasured);
  if (measured.length === 0) return "<p>Nothing could be measured.</p>";
  const batches = [...new Set(measured.map(({ batch }) => batch))].sort((a, b) => a - b);
  const { width, height, left, right, top, bottom } = plot;
  const [low, high] = [
    Math.min(...measured.map(({ fps }) => fps.min)) / 1.3,
    Math.max(...measured.map(({ fps }) => fps.max)) * 1.3,
  ];
  const x = logarithmic(
    (batches[0] as number) / 1.4,
    (batches.at(-1) as number) * 1.4,
    ...([left, width - right] as const),
  );
  const y = logarithmic(low, high, height - bottom, top);
  const at = (value: number) => value.toFixed(1);
  const marks = [
    ...logarithmicTicks(low, high).map(
      (value) =>
        `<path class="grid" d="M${left} ${at(y(value))}H${width - right}"/>` +
        `<text x="${left - 8}" y="${at(y(value) + 4)}" text-anchor="end">${value}</text>`,
    ),
    ...batches.map(
      (batch) =>
        `<path class="grid" d="M${at(x(batch))} ${top}V${height - bottom}"/>` +
        `<text x="${at(x(batch))}" y="${height - bottom + 20}" text-anchor="middle">${batch}</text>`,
    ),
    `<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">batch size, frames</text>`,
    `<text transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">frames/s</text>`,
  ];
  const drawn = lines(figures).map(({ name, classes, points }) => {
    const path = points
      .map(({ batch, fps }, i) => `${i === 0 ? "M" : "L"}${at(x(batch))} ${at(y(fps.median))}`)
      .join("");
    const ranges = points.map(({ batch, fps }) => `M${at(x(batch))} ${at(y(fps.min))}V${at(y(fps.max))}`).join("");
    const dots = points.map(
      ({ batch, fps }) =>
        `<circle cx="${at(x(batch))}" cy="${at(y(fps.median))}" r="4.5">` +
        `<title>${escaped(`${name}, batch ${batch}: ${shownRange(fps)}`)}</title></circle>`,
    );
    return `<g class="${classes}"><path class="range" d="${ranges}"/><path class="line ${classes}" d="${path}"/>${dots.join("")}</g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="plot-title plot-text">
<title id="plot-title">Frames a second by batch size</title>
<desc id="plot-text">Logarithmic axes, a line a contestant, bars from the slowest to the fastest measurement. The table below has the figures.</desc>
${[...marks, ...drawn].join("\n")}
</svg>`;
}

function shownRange({ median, min, max }: Measured["fps"]): string {
  return `${score(median)} frames/s (${score(min)} to ${score(max)})`;
}

/** Milliseconds in three digits. */
export function shownMs(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** The figures as an HTML table. */
export function comparisonTable(figures: readonly ComparisonFigure[]): string {
  const heads = [
    "Contestant",
    "Batch",
    "Frames/s",
    "Slowest",
    "Fastest",
    "To the best peer",
    "Latency, ms",
    "Memory, MB",
    "How",
  ];
  const none = "\u2013";
  const rows = figures.map((figure) => {
    const { contestant, own, batch, fps, ratio, latencyMs, memoryBytes, how, error } = figure;
    const cells = [
      ...[fps?.median, fps?.min, fps?.max].map(score),
      ratio === undefined ? none : `${ratio.toFixed(2)}\u00d7`,
      latencyMs === undefined ? none : shownMs(latencyMs),
      memoryBytes === undefined ? none : (memoryBytes / 1e6).toFixed(0),
    ].map((cell) => `<td>${cell}</td>`);
    const words = `<td class="words">${escaped(error === undefined ? (how ?? "") : `failed: ${error}`)}</td>`;
    return `<tr${own ? ' class="own"' : ""}><th scope="row">${escaped(contestant)}</th><td>${batch}</td>${cells.join("")}${words}</tr>`;
  });
  const head = heads.map((name, i) => `<th scope="col"${i === heads.length - 1 ? ' class="words"' : ""}>${name}</th>`);
  return `<div class="scroll" tabindex="0" role="region" aria-labelledby="figures-heading"><table>
<caption>Medians; latency is that of a batch by itself, from its submission until it is done.</caption>
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

/** Text for markup, quoted attributes included. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
