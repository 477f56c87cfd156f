// Paints frames of a result video: the anomaly map over the frame, boxes, and a strip of scores.
import type { Frame } from "../../data/frame.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import type { PixelBox } from "../../watch/events.js";
import { heatmap } from "../evaluation/heatmap.js";
import * as format from "../web/format.js";
import { letterAdvance, letterHeight, textPixels } from "./font.js";

/** What is painted over a frame and below it. */
export interface Overlay {
  map: ScoreMap;
  /** Map values that are transparent and strongest. */
  range: { low: number; high: number };
  boxes: readonly PixelBox[];
  level: number;
  /** Whether an event is going on. */
  isAbnormal: boolean;
}

/** The strongest opacity of the map: what lies under it stays visible. */
const strongest = 0.65;
/** Seconds that the strip shows. */
const span = 20;

type Color = readonly [b: number, g: number, r: number];
const colors = {
  back: [30, 24, 20],
  event: [36, 30, 92],
  line: [232, 188, 90],
  threshold: [60, 150, 255],
  box: [48, 64, 255],
  text: [235, 235, 235],
} as const satisfies Record<string, Color>;

/** Paints one video's frames. A painted frame is valid until the next one. */
export class Painter {
  /** Size of painted frames, in pixels; both even, as H.264 needs it. */
  readonly width: number;
  readonly height: number;
  private readonly stripHeight: number;
  private readonly canvas: Uint8Array;
  private readonly scale: number;
  private readonly line: number;
  private readonly history: { level: number; isAbnormal: boolean }[] = [];
  private readonly shown: number;
  private highest = 0;
  /** [256, 4]: R, G, B, alpha by strength. */
  private readonly ramp = heatmap(
    { rows: 1, columns: 256, data: Float32Array.from({ length: 256 }, (_, i) => i) },
    0,
    255,
  ).rgba;

  /** @param fps frames per second, for the time that the strip shows */
  constructor(
    private readonly source: { width: number; height: number },
    fps: number,
    private readonly threshold?: number,
  ) {
    const { width, height } = source;
    this.stripHeight = Math.max(48, Math.min(160, Math.round(height / 5)));
    this.width = width + (width % 2);
    this.height = height + this.stripHeight + ((height + this.stripHeight) % 2);
    this.canvas = new Uint8Array(this.width * this.height * 3);
    this.scale = Math.max(1, Math.round(Math.min(this.stripHeight / 32, this.width / 240)));
    this.line = Math.max(1, Math.round(Math.min(width, height) / 240));
    this.shown = Math.max(2, Math.round(span * fps));
  }

  /** @returns [height, width, 3], B, G, R */
  paint(frame: Frame, overlay: Overlay): Uint8Array {
    this.paintMap(frame, overlay);
    if (overlay.isAbnormal) for (const box of overlay.boxes) this.rectangle(box, colors.box);
    this.history.push({ level: overlay.level, isAbnormal: overlay.isAbnormal });
    if (this.history.length > this.shown) this.history.shift();
    if (overlay.level > this.highest) this.highest = overlay.level;
    this.paintStrip();
    this.paintTexts(frame, overlay);
    return this.canvas;
  }

  /** The frame with the map over it, interpolated between the centres of the map's cells. */
  private paintMap({ data }: Frame, { map, range: { low, high } }: Overlay): void {
    const { width, height } = this.source;
    const canvas = this.canvas;
    const ramp = this.ramp;
    const across = between(width, map.columns);
    const down = between(height, map.rows);
    const gain = high > low ? 255 / (high - low) : 0;
    for (let y = 0; y < height; y++) {
      const { from: y0, to: y1, part: dy } = down[y];
      const [row0, row1] = [y0 * map.columns, y1 * map.columns];
      for (let x = 0; x < width; x++) {
        const { from: x0, to: x1, part: dx } = across[x];
        const above = map.data[row0 + x0] * (1 - dx) + map.data[row0 + x1] * dx;
        const below = map.data[row1 + x0] * (1 - dx) + map.data[row1 + x1] * dx;
        const strength = (above * (1 - dy) + below * dy - low) * gain;
        const at = (y * width + x) * 3;
        const out = (y * this.width + x) * 3;
        // NaN is transparent.
        const place = strength > 0 ? 4 * Math.min(255, Math.round(strength)) : 0;
        const alpha = (strongest * ramp[place + 3]) / 255;
        for (let c = 0; c < 3; c++) canvas[out + c] = data[at + c] * (1 - alpha) + ramp[place + 2 - c] * alpha;
      }
    }
  }

  private rectangle({ x1, y1, x2, y2 }: PixelBox, color: Color): void {
    const { line } = this;
    this.fill(x1, y1, x2, Math.min(y2, y1 + line - 1), color);
    this.fill(x1, Math.max(y1, y2 - line + 1), x2, y2, color);
    this.fill(x1, y1, Math.min(x2, x1 + line - 1), y2, color);
    this.fill(Math.max(x1, x2 - line + 1), y1, x2, y2, color);
  }

  /** The level over the last seconds; now is at the right. */
  private paintStrip(): void {
    const { width, history, shown, threshold } = this;
    const top = this.source.height;
    const bottom = this.height - 1;
    this.fill(0, top, width - 1, bottom, colors.back);
    const head = top + this.scale * (letterHeight + 4);
    const most = 1.15 * Math.max(this.highest, threshold ?? 0) || 1;
    const yOf = (level: number) =>
      Math.round(bottom - 2 - Math.max(0, Math.min(1, level / most)) * (bottom - 2 - head));
    let before: number | undefined;
    for (let x = 0; x < width; x++) {
      // The last frame is at the right edge; a frame is width / shown columns wide.
      const at = history.length - 1 - Math.floor(((width - 1 - x) * shown) / width);
      const here = history[at];
      if (!here) continue;
      if (here.isAbnormal) this.fill(x, top, x, bottom, colors.event);
      if (Number.isNaN(here.level)) {
        before = undefined;
        continue;
      }
      const y = yOf(here.level);
      const [from, to] = [Math.min(y, before ?? y), Math.max(y, before ?? y)];
      this.fill(x, from - (this.line >> 1), x, to + ((this.line + 1) >> 1), colors.line);
      before = y;
    }
    if (threshold === undefined) return;
    const y = yOf(threshold);
    const dash = 4 * this.line;
    for (let x = 0; x < width; x += 2 * dash) this.fill(x, y, x + dash - 1, y + this.line - 1, colors.threshold);
  }

  private paintTexts({ number, time }: Frame, { level, isAbnormal }: Overlay): void {
    const { scale, threshold } = this;
    const y = this.source.height + 2 * scale;
    const score = `score ${Number.isNaN(level) ? "-" : plain(level)}`;
    let x = this.text(score, 2 * scale, y, isAbnormal ? colors.box : colors.line);
    if (threshold !== undefined)
      x = this.text(`threshold ${plain(threshold)}`, x + 3 * letterAdvance * scale, y, colors.threshold);
    // As much of time and number as there is room for.
    const clock = time === undefined ? [] : [format.time(time)];
    for (const where of [[...clock, `frame ${number}`].join("  "), ...clock, `frame ${number}`]) {
      const left = this.width - where.length * letterAdvance * scale - scale;
      if (left <= x + letterAdvance * scale) continue;
      this.text(where, left, y, colors.text);
      break;
    }
  }

  /** @returns where the text ends */
  private text(text: string, left: number, top: number, color: Color): number {
    const { scale } = this;
    for (const [x, y] of textPixels(text)) {
      const [x1, y1] = [left + x * scale, top + y * scale];
      this.fill(x1, y1, x1 + scale - 1, y1 + scale - 1, color);
    }
    return left + text.length * letterAdvance * scale;
  }

  /** Fills a rectangle; both corners are inclusive, and what lies outside is left out. */
  private fill(x1: number, y1: number, x2: number, y2: number, [b, g, r]: Color): void {
    for (let y = Math.max(0, y1); y <= Math.min(this.height - 1, y2); y++) {
      for (let x = Math.max(0, x1); x <= Math.min(this.width - 1, x2); x++) {
        const at = (y * this.width + x) * 3;
        this.canvas[at] = b;
        this.canvas[at + 1] = g;
        this.canvas[at + 2] = r;
      }
    }
  }
}

/** A score with the plain minus of the font. */
const plain = (value: number) => format.score(value).replace("\u2212", "-");

/** For each pixel the two cells whose centres it lies between, and how far it is to the second. */
function between(pixels: number, cells: number): { from: number; to: number; part: number }[] {
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = Math.max(0, Math.min(cells - 1, ((pixel + 0.5) * cells) / pixels - 0.5));
    const from = Math.min(Math.floor(place), Math.max(0, cells - 2));
    return { from, to: Math.min(from + 1, cells - 1), part: place - from };
  });
}
