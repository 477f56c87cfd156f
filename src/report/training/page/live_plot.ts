import type uPlot from "uplot";
import { Plot } from "../../web/plot.js";

type Options = Omit<uPlot.Options, "width" | "height">;

/** A plot whose data change while a reader looks at it. The reader's zoom stays. */
export class LivePlot {
  private plot: Plot | undefined;
  private shape = "";

  /**
   * @param options gives the look; asked again if {@link show} gets another shape
   * @param height in CSS pixels, from the width
   * @param lines gives the tooltip of a position
   */
  constructor(
    private readonly host: HTMLElement,
    private readonly options: () => Options,
    private readonly height: (width: number) => number,
    private readonly lines: (index: number) => string[],
  ) {}

  /**
   * Draws data.
   * @param shape what the options depend on: if it is the same, the plot stays and gets the new
   * data
   */
  show(data: uPlot.AlignedData, shape = ""): void {
    if (data[0].length === 0) return;
    const zoom = this.zoom();
    if (!this.plot || shape !== this.shape) {
      this.plot?.destroy();
      this.shape = shape;
      this.plot = new Plot(this.host, this.options(), data, this.height, this.lines);
      if (zoom) this.plot.u.setScale("x", zoom);
      return;
    }
    const { u } = this.plot;
    u.batch(() => {
      u.setData(data, zoom === undefined);
      if (zoom) u.setScale("x", zoom);
    });
  }

  /** The part of the x axis that is shown; undefined if that is all of it. */
  private zoom(): { min: number; max: number } | undefined {
    const { scales, data } = this.plot?.u ?? {};
    const [min, max, first, last] = [scales?.x?.min, scales?.x?.max, data?.[0][0], data?.[0].at(-1)];
    if (min == null || max == null || first === undefined || last === undefined) return undefined;
    return min > first || max < last ? { min, max } : undefined;
  }
}
