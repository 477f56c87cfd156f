// What the plots of all pages share.
import uPlot from "uplot";
import { h } from "./dom.js";
import { ticks } from "./format.js";
import { color, onTheme } from "./theme.js";

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Distances of the values of an axis that has whole numbers only, such as frames or epochs. */
export const WHOLE = Array.from({ length: 27 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));

/** An axis in the colours of the page. */
export function axis(options: uPlot.Axis): uPlot.Axis {
  return {
    font: FONT,
    labelFont: FONT,
    labelSize: 20,
    stroke: () => color("--muted"),
    grid: { stroke: () => color("--grid"), width: 1 },
    ticks: { stroke: () => color("--grid"), width: 1, size: 5 },
    values: (_, splits, __, ___, step) => ticks(splits, step),
    ...options,
  };
}

/** The width of an axis: that of its longest number, but at least `least` pixels. */
export function axisWidth(least: number): uPlot.Axis.Size {
  return (u, values) => {
    if (!values) return least;
    u.ctx.save();
    u.ctx.font = FONT;
    const widest = Math.max(0, ...values.map((value) => u.ctx.measureText(value).width));
    u.ctx.restore();
    return Math.max(least, Math.ceil(widest) + 14);
  };
}

/**
 * A plot that follows the width of its place and the colours of the page, with a tooltip at the
 * cursor.
 */
export class Plot {
  readonly u: uPlot;
  private readonly tip = h("div", { class: "tip", hidden: true });
  private readonly size: ResizeObserver;
  private readonly endTheme: () => void;

  /**
   * @param height in CSS pixels, from the width
   * @param lines gives the tooltip of a position
   */
  constructor(
    private readonly host: HTMLElement,
    options: Omit<uPlot.Options, "width" | "height">,
    data: uPlot.AlignedData,
    height: (width: number) => number,
    lines: (index: number) => string[],
  ) {
    const measured = () => {
      const width = Math.max(200, Math.floor(host.clientWidth));
      return { width, height: height(width) };
    };
    const hooks = { ...options.hooks, setCursor: [() => this.showTip(lines)] };
    this.u = new uPlot({ ...measured(), ...options, legend: { show: false }, hooks }, data, host);
    this.u.over.append(this.tip);
    this.size = new ResizeObserver(() => {
      const { width, height } = measured();
      if (width !== this.u.width || height !== this.u.height) this.u.setSize({ width, height });
    });
    this.size.observe(host);
    this.endTheme = onTheme(() => this.u.redraw());
  }

  private showTip(lines: (index: number) => string[]): void {
    const { idx, left = -1 } = this.u.cursor;
    this.tip.hidden = idx == null || left < 0;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(...lines(idx as number).map((line) => h("div", {}, line)));
    const room = this.u.over.clientWidth - this.tip.offsetWidth;
    // To the right of the cursor, or to its left if there is no room.
    const at = left + 14 <= room ? left + 14 : left - 14 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, at))}px`;
  }

  destroy(): void {
    this.size.disconnect();
    this.endTheme();
    this.u.destroy();
    this.host.replaceChildren();
  }
}
