// A video's scores as a small curve, for the list of videos.
import { svg } from "../../web/dom.js";
import { abnormalRanges, type Numbers, type Video } from "./model.js";

const [WIDTH, HEIGHT] = [120, 28];

/**
 * The range of scores that all sparklines share, without the lowest and highest 1 %, so that an
 * outlier does not flatten the rest.
 */
export function sharedRange(videos: readonly Video[]): [low: number, high: number] {
  const all = Float64Array.from(videos.flatMap(({ scores }) => scores.filter((score) => score !== null))).sort();
  if (all.length === 0) return [0, 1];
  const [low, high] = [0.01, 0.99].map((part) => all[Math.round(part * (all.length - 1))]);
  return high > low ? [low, high] : [low - 1, high + 1];
}

/** The curve; abnormal ranges are shaded. */
export function sparkline({ scores, labels }: Video, [low, high]: [number, number]): SVGElement {
  const step = WIDTH / Math.max(1, scores.length);
  const shades = abnormalRanges(labels).map(({ first, last }) =>
    svg("rect", { x: first * step, y: 0, width: (last + 1 - first) * step, height: HEIGHT }),
  );
  const line = svg("path", { d: pathOf(scores, low, high) });
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" },
    ...shades,
    line,
  );
}

/** At most one point per unit of width: the largest score there, so that no peak is lost. */
function pathOf(scores: Numbers, low: number, high: number): string {
  const count = Math.min(WIDTH, scores.length);
  let path = "";
  let pen = false;
  for (let i = 0; i < count; i++) {
    const here = scores.slice(Math.floor((i * scores.length) / count), Math.floor(((i + 1) * scores.length) / count));
    const known = here.filter((score) => score !== null);
    if (known.length === 0) {
      pen = false;
      continue;
    }
    const part = Math.max(0, Math.min(1, (Math.max(...known) - low) / (high - low)));
    path += `${pen ? "L" : "M"}${(((i + 0.5) * WIDTH) / count).toFixed(1)} ${(HEIGHT - 2 - part * (HEIGHT - 4)).toFixed(1)}`;
    pen = true;
  }
  return path;
}
