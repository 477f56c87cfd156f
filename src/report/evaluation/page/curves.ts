// ROC curves, and curves of regions and tracks.
import uPlot from "uplot";
import { h, section } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { axis, axisWidth, Plot } from "../../web/plot.js";
import { color } from "../../web/theme.js";
import type { Curve } from "./model.js";

/** Curves differ in their dashes too, for those who cannot see the colours. */
const COLORS = ["--curve-1", "--curve-2", "--curve-3", "--curve-4", "--curve-5"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]];
/** The number of places on the x axis where the cursor can be. */
const GRID = 401;

/** A plot per pair of axes; undefined if there are no curves. */
export function curves(list: readonly Curve[]): HTMLElement | undefined {
  const groups = new Map<string, Curve[]>();
  for (const curve of list.filter(({ x }) => x.length > 0)) {
    const key = JSON.stringify([curve.xLabel, curve.yLabel, curve.chance ?? false]);
    groups.set(key, [...(groups.get(key) ?? []), curve]);
  }
  if (groups.size === 0) return undefined;
  const figures = [...groups.values()].map((group) => figure(group));
  return section("curves", "Curves", h("div", { class: "curves" }, ...figures));
}

function figure(group: readonly Curve[]): HTMLElement {
  const [{ xLabel, yLabel }] = group;
  const host = h("div", {
    class: "plot",
    role: "img",
    "aria-label": `${yLabel} against ${xLabel}: ${group.map(({ name }) => name).join(", ")}`,
  });
  const legend = group.map((curve, i) => {
    const key = h("canvas", { width: 56, height: 24, "aria-hidden": "true" });
    return {
      key,
      i,
      item: h("li", {}, key, h("span", {}, curve.name), h("b", {}, `area ${format.percent(curve.area)} %`)),
    };
  });
  let plot: Plot | undefined;
  const draw = () => {
    if (plot) return;
    plot = curvePlot(host, group);
    plot.u.hooks.draw?.push(() => {
      for (const { key, i } of legend) drawKey(key, i);
    });
    plot.u.redraw();
  };
  const seen = new IntersectionObserver(
    (entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      seen.disconnect();
      draw();
    },
    { rootMargin: "300px" },
  );
  seen.observe(host);
  addEventListener("beforeprint", draw);
  return h("figure", {}, h("ul", { class: "legend" }, ...legend.map(({ item }) => item)), host);
}

/** Draws the line of a curve for the legend. */
function drawKey(canvas: HTMLCanvasElement, i: number): void {
  const ctx = canvas.getContext("2d") as CanvasRenderingContext2D;
  ctx.clearRect(0, 0, canvas.width, canvas.height);
  ctx.strokeStyle = color(COLORS[i % COLORS.length]);
  ctx.lineWidth = 4;
  ctx.setLineDash(DASHES[i % DASHES.length].map((dash) => dash * 2));
  ctx.beginPath();
  ctx.moveTo(0, 12);
  ctx.lineTo(56, 12);
  ctx.stroke();
}

function curvePlot(host: HTMLElement, group: readonly Curve[]): Plot {
  const [{ xLabel, yLabel }] = group;
  const most = Math.max(1, ...group.map(({ x }) => x.at(-1) ?? 0));
  const grid = Array.from({ length: GRID }, (_, i) => (i / (GRID - 1)) * most);
  const rows = group.map((curve) => onGrid(curve, grid));

  return new Plot(
    host,
    {
      padding: [8, 14, 0, 0],
      cursor: {
        drag: { x: false, y: false },
        y: false,
        points: { size: 7, fill: (_, i) => color(COLORS[(i - 1) % COLORS.length]) },
      },
      scales: { x: { time: false, range: [0, most] }, y: { range: [0, 1.02] } },
      axes: [axis({ label: xLabel, space: 50, size: 34 }), axis({ label: yLabel, space: 50, size: axisWidth(40) })],
      series: [
        {},
        ...group.map(
          (curve, i): uPlot.Series => ({
            stroke: () => color(COLORS[i % COLORS.length]),
            width: 2,
            dash: DASHES[i % DASHES.length],
            paths: pathOf(curve),
            points: { show: false },
          }),
        ),
      ],
      hooks: { draw: group.some(({ chance }) => chance) ? [drawDiagonal] : [] },
    },
    [grid, ...rows],
    (width) => Math.round(Math.min(400, Math.max(260, width * 0.85))),
    (i) => [
      `${xLabel} ${grid[i].toFixed(3)}`,
      ...group.map(({ name }, j) => `${name} ${rows[j]?.[i]?.toFixed(3) ?? "\u2013"}`),
    ],
  );
}

/** Draws what guessing gives: a line from (0, 0) to (1, 1). */
function drawDiagonal(u: uPlot): void {
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = color("--muted");
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([3 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
  ctx.beginPath();
  ctx.moveTo(u.valToPos(0, "x", true), u.valToPos(0, "y", true));
  ctx.lineTo(u.valToPos(1, "x", true), u.valToPos(1, "y", true));
  ctx.stroke();
  ctx.restore();
}

/**
 * Draws a curve through its own points, not through the values on the grid: at a step it has two
 * values at one x, but the grid has one.
 */
function pathOf(curve: Curve): uPlot.Series.PathBuilder {
  return (u) => {
    const stroke = new Path2D();
    for (const [i, x] of curve.x.entries()) {
      const y = curve.y[i];
      if (x === null || y == null) continue;
      stroke.lineTo(u.valToPos(x, "x", true), u.valToPos(y, "y", true));
    }
    return { stroke };
  };
}

/** A curve's values at rising places, interpolated; at a step the upper value. */
function onGrid({ x, y }: Curve, grid: readonly number[]): (number | null)[] {
  let after = 0;
  return grid.map((place) => {
    while (after < x.length && (x[after] ?? 0) <= place) after++;
    const [x0, y0, x1, y1] = [x[after - 1], y[after - 1], x[after], y[after]];
    if (x0 == null || y0 == null) return null;
    if (x1 == null || y1 == null) return place > x0 ? null : y0;
    return y0 + ((y1 - y0) * (place - x0)) / (x1 - x0);
  });
}
