// Pastes pseudo-anomalies into frames, on the CPU, and prepares the same for the GPU.

import { mat2d, vec2 } from "gl-matrix";
import type { Paste, PasteLook } from "../../ops/paste.js";
import type { Size } from "../../ops/resize.js";
import { sampleStride } from "../frame.js";
import type { BgrImage } from "../resize.js";
import type { Box } from "./foreground.js";
import type { Insertion, PasteLayer } from "./insertion.js";
import { keptCrop, type LibraryClip, windowEdge } from "./library.js";

/** A frame with something pasted into it. */
export interface Pasted {
  frame: BgrImage;
  /** One byte per pixel: 255 if more than half of it is pasted foreground, else 0. */
  mask: Uint8Array;
}

/** Shares of foreground around a point at which pasting begins, is full, has no background. */
const [coverLow, coverHigh, coverInside] = [0.35, 0.65, 0.9];

/**
 * Pastes one layer into one frame; the CPU reference of `shaders/paste.wgsl`. For each pixel
 * (centres at +0.5):
 *
 * 1. The affine gives a point of the source. Colours there are bilinear.
 * 2. A source pixel is foreground by its difference from the background, the largest of three
 *    channels: 0 up to `low`, 1 from `high` on, linear between.
 * 3. The opacity is the share of foreground in 5×5 pixels around the point, with {@link coverLow}
 *    to {@link coverHigh} stretched to 0…1, times the window's opacity. So holes in objects that
 *    look like their background are filled, and the edge is the object's, whatever the contrast.
 * 4. Pixels of the edge are partly background: f F + (1 − f) B for a foreground F. Pasted like that
 *    they would make a rim. So f is estimated from their contrast, and the share 1 − f gets the
 *    frame's colour plus the source's difference from its background. Together this gives
 *    f F + (1 − f) · frame.
 *
 * @param source the source's frame and background, of the same size; the layer's coordinates refer
 *   to them
 */
export function pasteLayer(
  frame: BgrImage,
  source: { frame: BgrImage; background: BgrImage },
  { affine, box, plain }: Pick<PasteLayer, "affine" | "box" | "plain">,
  { gain, bias, low, high }: PasteLook,
): Pasted {
  const { width, height } = frame;
  const { width: sourceWidth, height: sourceHeight, data: colors } = source.frame;
  const still = source.background.data;
  const data = frame.data.slice();
  const mask = new Uint8Array(width * height);
  const within = (distance: number, r: number) => ramp(distance, (1 + windowEdge) * r, r);
  const cover = new Cover(source, windowOf(box, source.frame), low, high);
  const { left: firstX, right: endX, top: firstY, bottom: endY } = reachOf(affine, box, frame);
  for (let y = firstY; y < endY; y++) {
    for (let x = firstX; x < endX; x++) {
      const sx = affine[0] * (x + 0.5) + affine[2] * (y + 0.5) + affine[4];
      const sy = affine[1] * (x + 0.5) + affine[3] * (y + 0.5) + affine[5];
      const window = within(Math.abs(sx - box.x), box.rx) * within(Math.abs(sy - box.y), box.ry);
      if (window === 0 || sx < 0 || sy < 0 || sx >= sourceWidth || sy >= sourceHeight) continue;
      const [left, top] = [Math.floor(sx - 0.5), Math.floor(sy - 0.5)];
      const [fx, fy] = [sx - 0.5 - left, sy - 0.5 - top];
      const columns = taps(left, sourceWidth, 3);
      const rows = taps(top, sourceHeight, sourceWidth * 3);
      const covered = cover.at(left, top, fx, fy);
      const foreground = window * ramp(covered, coverLow, coverHigh);
      const opacity = plain ? window : foreground;
      if (opacity === 0) continue;
      const at = y * width + x;
      if (foreground > 0.5) mask[at] = 255;
      const bilinear = (image: Uint8Array, c: number) => {
        const upper = image[rows[0] + columns[0] + c] * (1 - fx) + image[rows[0] + columns[1] + c] * fx;
        const lower = image[rows[1] + columns[0] + c] * (1 - fx) + image[rows[1] + columns[1] + c] * fx;
        return upper * (1 - fy) + lower * fy;
      };
      const color = [0, 1, 2].map((c) => bilinear(colors, c));
      const added = color.map((value, c) => value - bilinear(still, c));
      const contrast = Math.max(...added.map(Math.abs)) / (2 * high);
      const own = plain ? 1 : Math.min(1, Math.max(contrast, ramp(covered, coverHigh, coverInside)));
      for (let c = 0; c < 3; c++) {
        const base = data[3 * at + c];
        const inside = clampByte(color[c] * gain[c] + bias);
        const edge = clampByte(base + added[c]);
        const mixed = edge + (inside - edge) * own;
        data[3 * at + c] = Math.floor(base + (mixed - base) * opacity + 0.5);
      }
    }
  }
  return { frame: { data, width, height }, mask };
}

/** The pixels of a frame that a window can reach, ends exclusive. */
function reachOf(affine: mat2d, { x, y, rx, ry }: Box, { width, height }: BgrImage): Record<Side, number> {
  const all = { left: 0, top: 0, right: width, bottom: height };
  const toFrame = mat2d.invert(mat2d.create(), affine);
  if (!toFrame) return all;
  const [dx, dy] = [(1 + windowEdge) * rx, (1 + windowEdge) * ry];
  const corners = [-1, 1].flatMap((i) => [-1, 1].map((j) => vec2.fromValues(x + i * dx, y + j * dy)));
  const points = corners.map((corner) => vec2.transformMat2d(vec2.create(), corner, toFrame));
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  return {
    left: Math.max(0, Math.floor(Math.min(...xs)) - 1),
    top: Math.max(0, Math.floor(Math.min(...ys)) - 1),
    right: Math.min(width, Math.ceil(Math.max(...xs)) + 1),
    bottom: Math.min(height, Math.ceil(Math.max(...ys)) + 1),
  };
}

type Side = "left" | "top" | "right" | "bottom";

function clampByte(value: number): number {
  return Math.min(255, Math.max(0, value));
}

function ramp(value: number, from: number, to: number): number {
  return Math.min(1, Math.max(0, (value - from) / (to - from)));
}

/** Offsets of a source pixel and the next one. Beyond the border, the border's pixel stands in. */
function taps(first: number, count: number, stride: number): [number, number] {
  return [Math.min(Math.max(first, 0), count - 1) * stride, Math.min(first + 1, count - 1) * stride];
}

/** Source pixels that a window's points lie between, ends exclusive; one beyond each border. */
function windowOf({ x, y, rx, ry }: Box, { width, height }: BgrImage): Record<Side, number> {
  const [dx, dy] = [(1 + windowEdge) * rx, (1 + windowEdge) * ry];
  return {
    left: Math.max(-1, Math.floor(x - dx) - 1),
    top: Math.max(-1, Math.floor(y - dy) - 1),
    right: Math.min(width + 1, Math.ceil(x + dx) + 2),
    bottom: Math.min(height + 1, Math.ceil(y + dy) + 2),
  };
}

/** The share of foreground in 5×5 pixels around points of a source. */
class Cover {
  /** Means around the pixels of {@link window}. */
  private readonly means: Float64Array;
  private readonly columns: number;

  constructor(
    { frame, background }: { frame: BgrImage; background: BgrImage },
    private readonly window: Record<Side, number>,
    low: number,
    high: number,
  ) {
    const { left, top, right, bottom } = window;
    const [columns, rows] = [Math.max(0, right - left), Math.max(0, bottom - top)];
    const clamped = (value: number, end: number) => Math.min(Math.max(value, 0), end - 1);
    const wide = columns + 4;
    const foreground = new Float64Array(wide * (rows + 4));
    for (let j = 0; j < rows + 4; j++) {
      const row = clamped(top + j - 2, frame.height) * frame.width;
      for (let i = 0; i < wide; i++) {
        const at = 3 * (row + clamped(left + i - 2, frame.width));
        let most = 0;
        for (let c = 0; c < 3; c++) most = Math.max(most, Math.abs(frame.data[at + c] - background.data[at + c]));
        foreground[j * wide + i] = ramp(most, low, high);
      }
    }
    // Sums along rows, then along columns.
    const sums = new Float64Array(columns * (rows + 4));
    for (let j = 0; j < rows + 4; j++) {
      for (let i = 0; i < columns; i++) {
        const at = j * wide + i;
        sums[j * columns + i] =
          foreground[at] + foreground[at + 1] + foreground[at + 2] + foreground[at + 3] + foreground[at + 4];
      }
    }
    this.columns = columns;
    this.means = new Float64Array(columns * rows);
    for (let at = 0; at < this.means.length; at++) {
      let sum = 0;
      for (let j = 0; j < 5; j++) sum += sums[at + j * columns];
      this.means[at] = sum / 25;
    }
  }

  /** Around a point between a pixel and the next ones: a mean of five by five bilinear samples. */
  at(left: number, top: number, fx: number, fy: number): number {
    const [means, columns] = [this.means, this.columns];
    const at = (top - this.window.top) * columns + left - this.window.left;
    const upper = means[at] * (1 - fx) + means[at + 1] * fx;
    return upper * (1 - fy) + (means[at + columns] * (1 - fx) + means[at + columns + 1] * fx) * fy;
  }
}

/** The layer in coordinates of frames that were resized to `view`, as on the GPU. */
export function toView(layer: PasteLayer, scene: LibraryClip, source: LibraryClip, view: Size): PasteLayer {
  const [sx, sy] = [view.width / source.width, view.height / source.height];
  const affine = mat2d.fromScaling(mat2d.create(), [sx, sy]);
  mat2d.multiply(affine, affine, layer.affine);
  mat2d.scale(affine, affine, [scene.width / view.width, scene.height / view.height]);
  const { x, y, rx, ry } = layer.box;
  return { ...layer, affine, box: { x: x * sx, y: y * sy, rx: rx * sx, ry: ry * sy } };
}

/** The layer for a source that is a crop with its corner at x, y. */
export function toCrop(layer: PasteLayer, { x, y }: { x: number; y: number }): PasteLayer {
  const affine = mat2d.multiply(mat2d.create(), mat2d.fromTranslation(mat2d.create(), [-x, -y]), layer.affine);
  return { ...layer, affine, box: { ...layer.box, x: layer.box.x - x, y: layer.box.y - y } };
}

/**
 * Pastes what an insertion shows at an offset from its middle frame.
 * @param frame of the scene
 * @param read gives a frame of the scene: a window of another time shows one
 */
export async function pasteInsertion(
  frame: BgrImage,
  insertion: Insertion,
  offset: number,
  read: (position: number) => Promise<BgrImage>,
): Promise<Pasted> {
  const { source, object } = insertion;
  const layer = insertion.layer(offset);
  if (layer.plain) {
    const pixels = { frame: await read(layer.frame), background: source.background };
    return pasteLayer(frame, pixels, layer, lookOf(insertion));
  }
  const crop = keptCrop(object);
  const pixels = { frame: crop.frames[layer.frame - object.frame + sampleStride], background: crop.background };
  return pasteLayer(frame, pixels, toCrop(layer, crop), lookOf(insertion));
}

/** How an anomaly's pixels are blended in. */
export function lookOf({ gain, bias, source: { low, high } }: Insertion): PasteLook {
  return { gain, bias, low, high };
}

/**
 * What the GPU needs to paste an anomaly into a sample's three frames.
 * @param view the frames' size on the GPU
 * @param slots give the GPU's slots of a clip's frames and of its background
 */
export function pasteFor(
  anomaly: Insertion,
  view: Size,
  slots: { frame(clip: LibraryClip, frame: number): number; background(clip: LibraryClip): number },
): Paste {
  const { scene, source } = anomaly;
  const [previous, current, next] = [-sampleStride, 0, sampleStride].map((offset) => {
    const layer = toView(anomaly.layer(offset), scene, source, view);
    return { affine: layer.affine, box: layer.box, plain: layer.plain, slot: slots.frame(source, layer.frame) };
  });
  return { ...lookOf(anomaly), background: slots.background(source), layers: [previous, current, next] };
}
