// What several plots of a training run draw over their curves.
import uPlot from "uplot";
import { color } from "../../web/theme.js";

/** The colours of a stage: of its mean, its steps and their range. @param index from 0 */
export function stageColor(index: number, kind: "" | "-step" | "-range" = ""): string {
  return color(`--stage-${(index % 2) + 1}${kind}`);
}

/**
 * Draws a line before the first point of the second stage.
 * @param x of the points
 * @param stages of the points
 */
export function drawStages(u: uPlot, x: readonly number[], stages: readonly number[]): void {
  const { ctx, bbox } = u;
  const px = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = color("--muted");
  ctx.fillStyle = color("--muted");
  ctx.lineWidth = px;
  ctx.setLineDash([4 * px, 4 * px]);
  ctx.font = `${12 * px}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  for (let i = 1; i < stages.length; i++) {
    if (stages[i] === stages[i - 1]) continue;
    const at = Math.round(u.valToPos((x[i - 1] + x[i]) / 2, "x", true));
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const text = `stage ${stages[i]}`;
    const fits = at + ctx.measureText(text).width + 6 * px < bbox.left + bbox.width;
    ctx.textAlign = fits ? "left" : "right";
    ctx.fillText(text, at + (fits ? 5 : -5) * px, bbox.top + 2 * px);
  }
  ctx.restore();
}

/** Draws rings around points. */
export function drawRings(u: uPlot, points: readonly (readonly [x: number, y: number])[]): void {
  const { ctx, bbox } = u;
  const px = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = color("--ink");
  ctx.lineWidth = 2 * px;
  for (const point of points) {
    const [x, y] = [u.valToPos(point[0], "x", true), u.valToPos(point[1], "y", true)];
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    ctx.beginPath();
    ctx.arc(x, y, 6 * px, 0, 2 * Math.PI);
    ctx.stroke();
  }
  ctx.restore();
}
