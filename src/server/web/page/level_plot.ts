// A camera's levels of the last minutes, with the threshold.
import type uPlot from "uplot";
import { h } from "../../../report/web/dom.js";
import { axis, axisWidth, Plot } from "../../../report/web/plot.js";
import { color } from "../../../report/web/theme.js";
import type { FrameMessage, LevelPoint } from "../api.js";
import { clock, level } from "./texts.js";

/** Seconds that are shown. */
const SHOWN = 300;
/** Seconds between two points behind which the curve has a gap. */
const GAP = 3;

/** The curve of a camera. */
export class LevelPlot {
  readonly host: HTMLElement;
  private points: LevelPoint[] = [];
  private plot: Plot | undefined;
  private end = 0;

  constructor(name: string) {
    this.host = h("div", { class: "plot", role: "img", "aria-label": `Levels of ${name} in the last minutes` });
  }

  /** Takes the last minutes as the server remembers them. */
  begin(points: readonly LevelPoint[]): void {
    const [first, last] = [points[0]?.[0], points.at(-1)?.[0]];
    if (first === undefined || last === undefined) return;
    const isOwn = ([time]: LevelPoint) => time < first || time > last;
    // A server that was started again knows less than this page.
    this.points = [...this.points.filter(isOwn), ...points].sort(([a], [b]) => a - b);
  }

  /** Takes a frame; each second keeps its highest level. */
  push({ time, level: value, threshold }: FrameMessage): void {
    const second = 1000 * Math.floor(time / 1000);
    const last = this.points.at(-1);
    if (last && second < last[0]) this.points = [];
    if (last?.[0] === second) {
      last[1] = value === null ? last[1] : Math.max(value, last[1] ?? value);
      last[2] = threshold;
    } else this.points.push([second, value, threshold]);
  }

  /** Draws what is known. @param now of the server, in milliseconds since 1970 */
  draw(now: number): void {
    this.end = now / 1000;
    this.points = this.points.filter(([time]) => time >= now - 1000 * (SHOWN + GAP));
    if (!this.plot && this.points.length === 0) return;
    const data = rows(this.points);
    if (this.plot) this.plot.u.setData(data);
    else
      this.plot = new Plot(
        this.host,
        this.options(),
        data,
        () => 110,
        (i) => this.tip(i),
      );
  }

  private tip(i: number): string[] {
    const [times, levels, thresholds] = this.plot?.u.data ?? [[], [], []];
    return [clock(new Date(1000 * times[i])), `level ${level(levels[i])}`, `threshold ${level(thresholds[i])}`];
  }

  private options(): Omit<uPlot.Options, "width" | "height"> {
    return {
      padding: [6, 8, 0, 0],
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: {
        x: { time: false, range: () => [this.end - SHOWN, this.end] },
        y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? 1.15 * high : 1] },
      },
      axes: [
        axis({ space: 70, size: 26, incrs: [60, 120, 300], values: (_, times) => times.map(minute) }),
        axis({ space: 26, size: axisWidth(40) }),
      ],
      series: [
        {},
        { stroke: () => color("--score"), width: 1.5, points: { show: false } },
        { stroke: () => color("--threshold"), width: 1.5, dash: [6, 4], points: { show: false } },
      ],
      hooks: { drawClear: [shade] },
    };
  }
}

const minute = (time: number): string => clock(new Date(1000 * time)).slice(0, 5);

/** Columns for uPlot, with a row of nothing in each gap. */
function rows(points: readonly LevelPoint[]): uPlot.AlignedData {
  const all = points.flatMap((point, i): LevelPoint[] => {
    const before = points[i - 1]?.[0] ?? point[0];
    return point[0] - before > 1000 * GAP ? [[before + 1000, null, null], point] : [point];
  });
  return [all.map(([time]) => time / 1000), all.map(([, value]) => value), all.map(([, , threshold]) => threshold)];
}

/** Shades the seconds that reach the threshold. */
function shade(u: uPlot): void {
  const { ctx, bbox } = u;
  const [times, levels, thresholds] = u.data;
  ctx.save();
  ctx.fillStyle = color("--abnormal-fill");
  for (const [i, time] of times.entries()) {
    const [value, threshold] = [levels[i], thresholds[i]];
    if (value == null || threshold == null || value < threshold) continue;
    const [from, to] = [time, time + 1].map((x) => u.valToPos(x, "x", true));
    const left = Math.max(from, bbox.left);
    ctx.fillRect(left, bbox.top, Math.max(1, Math.min(to, bbox.left + bbox.width) - left), bbox.height);
  }
  ctx.restore();
}
