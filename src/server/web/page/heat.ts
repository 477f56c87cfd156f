// The heat map over a camera's picture.
import { heatmap } from "../../../report/evaluation/heatmap.js";
import { h } from "../../../report/web/dom.js";
import type { CameraState, FrameMessage } from "../api.js";

/** Around the value from which a region is abnormal, colour comes and is at its strongest. */
const [FROM, TO] = [0.7, 1.3];

/** A heat map. */
export class Heat {
  readonly canvas = h("canvas", { class: "heat", "aria-hidden": "true" });
  /** The highest value of late, for a camera that has learnt nothing yet. */
  private highest = 0;

  /** Draws a frame's map. */
  show({ map }: FrameMessage, learnt: CameraState["learnt"]): void {
    const { rows, columns, high, data } = map;
    this.highest = Math.max(high, 0.99 * this.highest);
    const [low, most] = learnt ? [FROM * learnt.mapHigh, TO * learnt.mapHigh] : [0.5 * this.highest, this.highest];
    const values = Float32Array.from(data, (value) => (value * high) / 255);
    const { rgba } = heatmap({ rows, columns, data: values }, low, most);
    const { canvas } = this;
    if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
    canvas.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(rgba), columns, rows), 0, 0);
  }

  /** Shows nothing. */
  clear(): void {
    this.canvas.getContext("2d")?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}
