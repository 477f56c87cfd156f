// The plot of a video's scores over its frames.
import uPlot from "uplot";
import { h } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { axis, axisWidth, Plot, WHOLE } from "../../web/plot.js";
import { color } from "../../web/theme.js";
import { type Numbers, type Range, shadedRanges, type Video } from "./model.js";

/** The least width of the y axis in pixels: the play button stands under it. */
const LEFT = 52;

/** Scores over frames, with shaded abnormal ranges, the threshold, and the reader's place. */
export class ScorePlot {
  private readonly plot: Plot;
  private readonly head = h("div", { class: "playhead" }, h("i"));
  private index = 0;

  constructor(
    host: HTMLElement,
    private readonly video: Video,
    threshold: number | undefined,
    seek: (index: number) => void,
  ) {
    const { raw, scores } = video;
    const frames = risingFrames(video);
    const x = frames ?? scores.map((_, i) => i);
    const ranges = shadedRanges(video);

    this.plot = new Plot(
      host,
      {
        padding: [8, 20, 0, 0],
        cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
        scales: {
          x: { time: false, range: [x[0] - 0.5, (x.at(-1) as number) + 0.5] },
          y: { range: scoreRange(video, threshold) },
        },
        axes: [
          axis({ label: frames ? "frame" : "position in the video", space: 60, size: 34, incrs: WHOLE }),
          axis({ size: axisWidth(LEFT) }),
        ],
        series: [
          {},
          { stroke: () => color("--raw"), width: 1, points: { show: false } },
          { stroke: () => color("--score"), width: 2, points: { size: 4, fill: () => color("--score") } },
        ],
        hooks: {
          drawClear: [(u) => shade(u, x, ranges)],
          draw: [(u) => drawThreshold(u, threshold), () => this.place()],
        },
      },
      [x, [...raw], [...scores]],
      (width) => (width < 500 ? 210 : 270),
      (i) => describe(video, i),
    );
    this.plot.u.over.append(this.head);
    this.scrubbing(host, seek);
  }

  /** Moves the reader's place to a frame, by position. */
  seek(index: number): void {
    this.index = index;
    this.place();
  }

  destroy(): void {
    this.plot.destroy();
  }

  private place(): void {
    // uPlot calls this already while it is constructed.
    if (!this.plot) return;
    const { u } = this.plot;
    const [left, score] = [u.valToPos(u.data[0][this.index], "x"), this.video.scores[this.index]];
    this.head.style.left = `${left}px`;
    const dot = this.head.firstElementChild as HTMLElement;
    dot.hidden = score == null;
    if (score != null) dot.style.top = `${u.valToPos(score, "y")}px`;
    // The slider below spans from the first frame to the last.
    const [first, last] = [u.data[0][0], u.data[0].at(-1)].map((x) => u.over.offsetLeft + u.valToPos(x as number, "x"));
    const player = u.root.parentElement?.parentElement;
    player?.style.setProperty("--plot-left", `${first}px`);
    player?.style.setProperty("--plot-right", `${u.width - last}px`);
  }

  /** Calls `seek` while a pointer is pressed on the plot. */
  private scrubbing(host: HTMLElement, seek: (index: number) => void): void {
    const { over } = this.plot.u;
    const to = ({ clientX }: PointerEvent) => {
      const { left, width } = over.getBoundingClientRect();
      seek(this.plot.u.posToIdx(Math.max(0, Math.min(width, clientX - left))));
    };
    over.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      over.setPointerCapture(event.pointerId);
      to(event);
    });
    over.addEventListener("pointermove", (event) => {
      if (over.hasPointerCapture(event.pointerId)) to(event);
    });
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", `Scores of ${this.video.name} over its ${this.video.scores.length} frames`);
  }
}

/** Shades ranges of frames. @param x frame numbers by position */
function shade(u: uPlot, x: readonly number[], ranges: readonly Range[]): void {
  const { ctx, bbox } = u;
  ctx.save();
  for (const { first, last } of ranges) {
    const [from, to] = [x[first] - 0.5, x[last] + 0.5].map((value) =>
      Math.max(bbox.left, Math.min(bbox.left + bbox.width, u.valToPos(value, "x", true))),
    );
    const width = Math.max(to - from, uPlot.pxRatio);
    ctx.fillStyle = color("--abnormal-fill");
    ctx.fillRect(from, bbox.top, width, bbox.height);
    // A bar that can be seen even without the tint, on bad screens and in grey print.
    ctx.fillStyle = color("--abnormal");
    ctx.fillRect(from, bbox.top, width, 4 * uPlot.pxRatio);
  }
  ctx.restore();
}

/** A dashed line with its value. */
function drawThreshold(u: uPlot, threshold: number | undefined): void {
  if (threshold === undefined) return;
  const { ctx, bbox } = u;
  const px = uPlot.pxRatio;
  const y = Math.round(u.valToPos(threshold, "y", true));
  ctx.save();
  ctx.strokeStyle = color("--threshold");
  // A line of an even number of pixels around a whole one is sharp.
  ctx.lineWidth = 2 * Math.max(1, Math.round(0.75 * px));
  ctx.setLineDash([6 * px, 4 * px]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.font = `${12 * px}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  const above = y - bbox.top > 26 * px;
  ctx.textBaseline = above ? "bottom" : "top";
  const [atX, atY] = [bbox.left + bbox.width - 6 * px, y + (above ? -4 : 4) * px];
  const text = `threshold ${format.score(threshold)}`;
  ctx.lineJoin = "round";
  ctx.lineWidth = 4 * px;
  ctx.strokeStyle = color("--surface");
  ctx.strokeText(text, atX, atY);
  ctx.fillStyle = color("--threshold");
  ctx.fillText(text, atX, atY);
  ctx.restore();
}

/** Frame numbers, if they rise; else undefined. */
function risingFrames({ frames, scores }: Video): number[] | undefined {
  const rising = frames.every((frame, i) => frame !== null && (i === 0 || frame > (frames[i - 1] ?? Infinity)));
  return rising && frames.length === scores.length ? (frames as number[]).slice() : undefined;
}

/** From the least to the largest of scores and threshold, with a margin. */
function scoreRange({ raw, scores }: Video, threshold: number | undefined): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  const take = (values: Numbers) => {
    for (const value of values) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  };
  take(raw);
  take(scores);
  if (threshold !== undefined) take([threshold]);
  if (low > high) return [0, 1];
  const margin = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  // Scores are errors, so the axis does not go below 0.
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

/** The tooltip of a frame. */
function describe(video: Video, i: number): string[] {
  const { frames, times, scores, labels } = video;
  return [
    `frame ${frames[i] ?? i}${times?.[i] == null ? "" : ` \u00b7 ${format.time(times[i])}`}`,
    `score ${format.score(scores[i])}`,
    ...(labels?.[i] == null ? [] : [format.label(labels[i])]),
  ];
}
