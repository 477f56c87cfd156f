// Axes of the plots of a training run.
import type uPlot from "uplot";
import * as format from "../../web/format.js";
import { axis, axisWidth, WHOLE } from "../../web/plot.js";
import { color } from "../../web/theme.js";

/** Distances of a time axis' values, in seconds. */
export const TIMES = [1, 2, 5, 10, 20, 30]
  .flatMap((n) => [n, 60 * n])
  .concat([1, 2, 3, 6, 12, 24, 48, 96, 192].map((n) => 3600 * n))
  .sort((a, b) => a - b);

/** The name of a stage's scale for the loss. */
export const yScale = (index: number) => (index === 0 ? "y" : `y${index + 1}`);

/** Grid lines at the powers of ten if several are in sight, else at all values of the axis. */
export const logarithmicAxis: Partial<uPlot.Axis> = {
  values: (_, splits) => splits.map((value) => (value === null ? "" : format.score(value).replace(/\.?0+$/, ""))),
  grid: {
    stroke: () => color("--grid"),
    width: 1,
    filter: (_, splits) => {
      const powers = splits.map((value) =>
        Number.isInteger(Math.round(1e6 * Math.log10(value)) / 1e6) ? value : null,
      );
      return powers.filter((value) => value !== null).length > 1 ? powers : splits;
    },
  },
};

/** From 0 to a margin above the largest value. */
export const fromZero: uPlot.Range.Function = (_, __, max) => [0, max > 0 ? 1.2 * max : 1];

/** Percent: some room below and above the values, but nothing outside of 0 to 100. */
const percents: uPlot.Range.Config = { min: { pad: 0.1, hard: 0 }, max: { pad: 0.1, hard: 100 } };

/** Scales of percents over epochs. */
export const epochScales = (): uPlot.Scales => ({
  x: { time: false, range: (_, min, max) => (max > min ? [min, max] : [min - 1, max + 1]) },
  y: { range: percents },
});

/** Axes of percents over epochs. */
export const epochAxes = (label: string): uPlot.Axis[] => [
  axis({ label: "epoch", space: 40, size: 34, incrs: WHOLE }),
  axis({ label, size: axisWidth(44) }),
];

/** How a curve over epochs looks. */
export const epochCurve = (stroke: () => string, width: number, dash: readonly number[]): uPlot.Series => ({
  ...{ stroke, width, dash: [...dash], spanGaps: true },
  points: { show: true, size: 4, stroke, fill: stroke },
});

/** Dragging across the plot zooms in, a double click zooms out. */
export function cursor(): uPlot.Cursor {
  return { drag: { x: true, y: false, dist: 5 }, y: false, points: { show: false } };
}
