// The curves of a training run.
import type uPlot from "uplot";
import { h } from "../../web/dom.js";
import * as format from "../../web/format.js";
import type { Parsed } from "../../web/parsed.js";
import { axis, axisWidth, WHOLE } from "../../web/plot.js";
import { color } from "../../web/theme.js";
import { chosenTests } from "../best.js";
import {
  EPOCH,
  FIRST,
  HIGH,
  LAST,
  LOSS,
  LOW,
  RATE,
  SECONDS,
  SPEED,
  STAGE,
  type StepPoint,
  type TrainingData,
} from "../data.js";
import { cursor, epochAxes, epochCurve, epochScales, fromZero, logarithmicAxis, TIMES, yScale } from "./axes.js";
import { LivePlot } from "./live_plot.js";
import { drawRings, drawStages, stageColor } from "./marks.js";
import { runningMeans } from "./running_mean.js";

export type Data = Parsed<TrainingData>;
export type Test = Data["tests"][number];
type Row = (number | null)[];

/** The points of steps, and three of their fields. */
interface Steps {
  points: readonly StepPoint[];
  first: number[];
  last: number[];
  stage: number[];
}

const stepsOf = ({ steps }: Data): Steps => {
  const points = steps as unknown as readonly StepPoint[];
  return {
    points,
    first: points.map((point) => point[FIRST]),
    last: points.map((point) => point[LAST]),
    stage: points.map((point) => point[STAGE]),
  };
};

/** All plots of a run. */
export class Plots {
  readonly loss = h("div", { class: "plot", role: "img", "aria-label": "Loss over steps" });
  readonly auc = h("div", { class: "plot", role: "img", "aria-label": "AUC of the tests over epochs" });
  readonly rate = h("div", { class: "plot", role: "img", "aria-label": "Learning rate over steps" });
  readonly speed = h("div", { class: "plot", role: "img", "aria-label": "Samples per second over time" });

  private steps: Steps = { points: [], first: [], last: [], stage: [] };
  private means: Row = [];
  private tests: readonly Test[] = [];
  /** Points of the tests of chosen epochs. */
  private chosen: [epoch: number, auc: number][] = [];
  /** The stages so far, in order. */
  private stages: number[] = [];
  private logarithmic = false;

  private readonly lossPlot = new LivePlot(
    this.loss,
    () => this.lossOptions(),
    (width) => (width < 500 ? 240 : 340),
    (i) => this.stepLines(i, "loss"),
  );
  private readonly aucPlot = new LivePlot(
    this.auc,
    () => this.aucOptions(),
    (width) => (width < 500 ? 240 : 300),
    (i) => testLines(this.tests[i]),
  );
  private readonly ratePlot = new LivePlot(
    this.rate,
    () => ({
      padding: [8, 24, 0, 0],
      cursor: cursor(),
      scales: { x: { time: false }, y: { range: fromZero } },
      axes: [axis({ label: "step", space: 60, size: 34, incrs: WHOLE }), axis({ size: axisWidth(52) })],
      series: [{}, { stroke: () => color("--score"), width: 2, points: { show: false } }],
      hooks: { draw: [(u) => drawStages(u, this.steps.last, this.steps.stage)] },
    }),
    () => 210,
    (i) => this.stepLines(i, "rate"),
  );
  private readonly speedPlot = new LivePlot(
    this.speed,
    () => ({
      padding: [8, 24, 0, 0],
      cursor: cursor(),
      scales: { x: { time: false }, y: { range: fromZero } },
      axes: [
        axis({ label: "time", space: 55, size: 34, incrs: TIMES, values: (_, times) => times.map(format.duration) }),
        axis({ size: axisWidth(52) }),
      ],
      series: [{}, { stroke: () => color("--score"), width: 1.5, points: { show: false } }],
    }),
    () => 210,
    (i) => this.stepLines(i, "speed"),
  );

  /** Shows new data. Call it when the page has the elements, since plots measure their places. */
  show(data: Data): void {
    this.steps = stepsOf(data);
    this.tests = data.tests.filter(({ microAuc, macroAuc }) => microAuc != null || macroAuc != null);
    this.chosen = chosenTests(data.select, this.tests, data.validations).flatMap(({ epoch, microAuc, macroAuc }) =>
      [microAuc, macroAuc].flatMap((auc): [number, number][] => (auc == null ? [] : [[epoch as number, 100 * auc]])),
    );
    this.stages = [...new Set(this.steps.stage)];
    this.showLoss();
    const { last, points } = this.steps;
    this.ratePlot.show([last, points.map((point) => point[RATE])]);
    // If a run was resumed on another machine, its times may go back.
    const times = points.map((point) => point[SECONDS] ?? Number.NaN);
    const timed = times.every((time, i) => time >= (times[i - 1] ?? 0));
    this.speedPlot.show([timed ? times : last, points.map((point) => point[SPEED])]);
    const percent = (value: number | null | undefined) => (value == null ? null : 100 * value);
    this.aucPlot.show([
      this.tests.map(({ epoch }) => epoch as number),
      this.tests.map(({ microAuc }) => percent(microAuc)),
      this.tests.map(({ macroAuc }) => percent(macroAuc)),
    ]);
  }

  /** A logarithmic axis for the loss, or a linear one. */
  setLogarithmic(logarithmic: boolean): void {
    this.logarithmic = logarithmic;
    this.showLoss();
  }

  private showLoss(): void {
    const { points, first, last, stage } = this.steps;
    const sizes = points.map((_, i) => last[i] - first[i] + 1);
    const values = (at: typeof LOSS | typeof LOW | typeof HIGH, of: number) =>
      points.map((point) => (point[STAGE] === of ? this.drawable(point[at]) : null));
    const rows: Row[] = [];
    this.means = points.map(() => null);
    for (const of of this.stages) {
      const losses = values(LOSS, of);
      const steps = sizes.reduce((sum, size, i) => sum + (stage[i] === of ? size : 0), 0);
      const means = runningMeans(losses, sizes, Math.max(10, steps / 50));
      for (const [i, mean] of means.entries()) if (mean !== null) this.means[i] = mean;
      rows.push(values(HIGH, of), values(LOW, of), losses, means);
    }
    this.lossPlot.show([last, ...rows], `${this.stages.join()} ${this.logarithmic}`);
  }

  /** A logarithmic axis cannot show 0. */
  private drawable(value: number | null): number | null {
    return this.logarithmic && value !== null && value <= 0 ? null : value;
  }

  private lossOptions(): Omit<uPlot.Options, "width" | "height"> {
    const several = this.stages.length > 1;
    const scale: uPlot.Scale = this.logarithmic ? { distr: 3, range: (_, min, max) => [min / 1.15, max * 1.15] } : {};
    return {
      padding: [8, several ? 0 : 24, 0, 0],
      cursor: cursor(),
      scales: { x: { time: false }, ...Object.fromEntries(this.stages.map((_, i) => [yScale(i), scale])) },
      // Losses of the two stages are different quantities: each has an axis of its colour.
      axes: [
        axis({ label: "step", space: 60, size: 34, incrs: WHOLE }),
        ...this.stages.map((stage, i) =>
          axis({
            scale: yScale(i),
            side: i === 0 ? 3 : 1,
            size: axisWidth(48),
            ...(several && { stroke: () => stageColor(i), label: `stage ${stage}` }),
            ...(this.logarithmic && logarithmicAxis),
            ...(i > 0 && { grid: { show: false } }),
          }),
        ),
      ],
      series: [
        {},
        ...this.stages.flatMap((_, i): uPlot.Series[] => [
          { scale: yScale(i), width: 0, points: { show: false } },
          { scale: yScale(i), width: 0, points: { show: false } },
          {
            scale: yScale(i),
            stroke: () => stageColor(i, "-step"),
            width: 1,
            points: { size: 4, stroke: () => stageColor(i, "-step"), fill: () => stageColor(i, "-step") },
          },
          { scale: yScale(i), stroke: () => stageColor(i), width: 2.5, points: { show: false } },
        ]),
      ],
      bands: this.stages.map((_, i) => ({ series: [4 * i + 1, 4 * i + 2], fill: () => stageColor(i, "-range") })),
      hooks: { draw: [(u) => drawStages(u, this.steps.last, this.steps.stage)] },
    };
  }

  private aucOptions(): Omit<uPlot.Options, "width" | "height"> {
    return {
      padding: [14, 14, 0, 0],
      cursor: cursor(),
      scales: epochScales(),
      axes: epochAxes("AUC, %"),
      series: [{}, epochCurve(() => color("--curve-1"), 2, []), epochCurve(() => color("--curve-2"), 2, [6, 4])],
      hooks: {
        draw: [
          (u) => {
            drawStages(
              u,
              this.tests.map(({ epoch }) => epoch as number),
              this.tests.map(({ stage }) => stage as number),
            );
            drawRings(u, this.chosen);
          },
        ],
      },
    };
  }

  /** The tooltip of a point. */
  private stepLines(i: number, what: "loss" | "rate" | "speed"): string[] {
    const point = this.steps.points[i];
    if (!point) return [];
    const [first, last] = [point[FIRST], point[LAST]];
    const several = last > first;
    const lines = [
      several ? `steps ${first} to ${last}` : `step ${last}`,
      `epoch ${point[EPOCH]}, stage ${point[STAGE]}, ${format.duration(point[SECONDS])}`,
    ];
    if (what === "rate") lines.push(`learning rate ${format.score(point[RATE])}`);
    if (what === "speed") lines.push(`${format.score(point[SPEED])} samples/s`);
    if (what === "loss") {
      lines.push(`loss ${format.score(point[LOSS])}`);
      if (several) lines.push(`from ${format.score(point[LOW])} to ${format.score(point[HIGH])}`);
      lines.push(`running mean ${format.score(this.means[i])}`);
    }
    return lines;
  }
}

/** The tooltip of a test. */
function testLines({ epoch, stage, microAuc, macroAuc, best }: Test): string[] {
  return [
    `epoch ${epoch}, stage ${stage}`,
    `micro-AUC ${format.share(microAuc)} %`,
    `macro-AUC ${format.share(macroAuc)} %`,
    ...(best ? ["best so far"] : []),
  ];
}
