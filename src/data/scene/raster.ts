// Draws strokes, polygons and sprites with soft edges.

/** Blue, green, red, from 0 to 255. */
export type Color = readonly [blue: number, green: number, red: number];

/** A canvas: colours in floating point, and which labelled thing is visible in each pixel. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** B, G, R, interleaved, row-major. */
  readonly color: Float32Array;
  /** How much of each pixel is covered, 0 to 1, if that matters. */
  readonly alpha?: Float32Array;
  /** For each pixel, the number of the last thing that covered at least half of it. */
  readonly owner: Uint8Array;
}

/** An empty canvas. */
export function createCanvas(width: number, height: number, withAlpha = false): Canvas {
  const pixels = width * height;
  return {
    width,
    height,
    color: new Float32Array(pixels * 3),
    owner: new Uint8Array(pixels),
    ...(withAlpha ? { alpha: new Float32Array(pixels) } : {}),
  };
}

/** Draws over one pixel, of which `cover` is covered. */
function blend(canvas: Canvas, pixel: number, cover: number, color: Color, light: number, owner: number): void {
  const { color: out, alpha } = canvas;
  const rest = 1 - cover;
  const gain = cover * light;
  const at = pixel * 3;
  out[at] = out[at] * rest + color[0] * gain;
  out[at + 1] = out[at + 1] * rest + color[1] * gain;
  out[at + 2] = out[at + 2] * rest + color[2] * gain;
  if (alpha) alpha[pixel] = alpha[pixel] * rest + cover;
  if (cover >= 0.5) canvas.owner[pixel] = owner;
}

/** A tapered stroke with round ends, in pixels. */
export interface Stroke {
  ax: number;
  ay: number;
  aRadius: number;
  bx: number;
  by: number;
  bRadius: number;
}

/**
 * Draws a stroke with soft edges, shaded like a cylinder.
 * @param lightX, lightY the direction towards the light in the image, times its strength
 */
export function fillStroke(
  canvas: Canvas,
  { ax, ay, aRadius, bx, by, bRadius }: Stroke,
  color: Color,
  light: number,
  lightX: number,
  lightY: number,
  owner: number,
): void {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy || 1;
  const reach = Math.max(aRadius, bRadius) + 1;
  const [left, right] = span(Math.min(ax, bx) - reach, Math.max(ax, bx) + reach, canvas.width);
  const [top, bottom] = span(Math.min(ay, by) - reach, Math.max(ay, by) + reach, canvas.height);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const [x, y] = [column + 0.5 - ax, row + 0.5 - ay];
      const along = Math.min(1, Math.max(0, (x * dx + y * dy) / length2));
      const [offX, offY] = [x - along * dx, y - along * dy];
      const wanted = aRadius + (bRadius - aRadius) * along;
      // A stroke thinner than a pixel is drawn one pixel wide, but fainter.
      const radius = Math.max(wanted, 0.5);
      const cover = Math.min(1, radius + 0.5 - Math.sqrt(offX * offX + offY * offY)) * (wanted / radius);
      if (cover <= 0) continue;
      const round = (offX * lightX + offY * lightY) / radius;
      blend(canvas, row * canvas.width + column, cover, color, light * (1 + round), owner);
    }
  }
}

/** Draws a convex polygon with soft edges. `points` are in pixels, in either sense of rotation. */
export function fillPolygon(
  canvas: Canvas,
  points: readonly (readonly [x: number, y: number])[],
  color: Color,
  light: number,
  owner: number,
): void {
  const edges = polygonEdges(points);
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [left, right] = span(Math.min(...xs) - 1, Math.max(...xs) + 1, canvas.width);
  const [top, bottom] = span(Math.min(...ys) - 1, Math.max(...ys) + 1, canvas.height);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const cover = Math.min(1, insideBy(edges, column + 0.5, row + 0.5) + 0.5);
      if (cover > 0) blend(canvas, row * canvas.width + column, cover, color, light, owner);
    }
  }
}

/** A line a·x + b·y + c = 0 with a unit normal, positive inside. */
type Edge = readonly [a: number, b: number, c: number];

/** The edges of a convex polygon, without those of length 0. */
export function polygonEdges(points: readonly (readonly [x: number, y: number])[]): Edge[] {
  let area = 0;
  for (const [i, [x, y]] of points.entries()) {
    const [nextX, nextY] = points[(i + 1) % points.length];
    area += x * nextY - nextX * y;
  }
  const sense = area < 0 ? -1 : 1;
  const edges: Edge[] = [];
  for (const [i, [x, y]] of points.entries()) {
    const [nextX, nextY] = points[(i + 1) % points.length];
    const length = Math.hypot(nextX - x, nextY - y);
    if (length < 1e-9) continue;
    const [a, b] = [(sense * (y - nextY)) / length, (sense * (nextX - x)) / length];
    edges.push([a, b, -(a * x + b * y)]);
  }
  return edges;
}

/** How far a point lies inside a convex polygon; negative outside. */
export function insideBy(edges: readonly Edge[], x: number, y: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (const [a, b, c] of edges) least = Math.min(least, a * x + b * y + c);
  return least;
}

/** The pixels [first, end) of a row or column that an interval touches. */
export function span(low: number, high: number, size: number): [first: number, end: number] {
  return [Math.max(0, Math.floor(low)), Math.min(size, Math.ceil(high))];
}

/** A cut-out of a canvas, to be drawn over others. */
export interface Sprite {
  left: number;
  top: number;
  width: number;
  height: number;
  /** B, G, R, times alpha. */
  color: Float32Array;
  alpha: Float32Array;
}

/** Cuts out what is drawn on a canvas with alpha. Undefined if nothing is. */
export function cutSprite(canvas: Canvas): Sprite | undefined {
  const { width, height } = canvas;
  const alpha = canvas.alpha!;
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let pixel = 0; pixel < alpha.length; pixel++) {
    if (alpha[pixel] === 0) continue;
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)];
  }
  if (right <= left) return undefined;
  const sprite: Sprite = {
    left,
    top,
    width: right - left,
    height: bottom - top,
    color: new Float32Array((right - left) * (bottom - top) * 3),
    alpha: new Float32Array((right - left) * (bottom - top)),
  };
  for (let row = 0; row < sprite.height; row++) {
    const from = (top + row) * width + left;
    sprite.alpha.set(alpha.subarray(from, from + sprite.width), row * sprite.width);
    sprite.color.set(canvas.color.subarray(from * 3, (from + sprite.width) * 3), row * sprite.width * 3);
  }
  return sprite;
}

/** Draws a sprite over a canvas, in this light. Its pixels get owner 0. */
export function drawSprite(canvas: Canvas, sprite: Sprite, light: number): void {
  const { color, owner } = canvas;
  for (let row = 0; row < sprite.height; row++) {
    let pixel = (sprite.top + row) * canvas.width + sprite.left;
    let from = row * sprite.width;
    for (let column = 0; column < sprite.width; column++, pixel++, from++) {
      const alpha = sprite.alpha[from];
      if (alpha === 0) continue;
      for (let channel = 0; channel < 3; channel++) {
        const at = pixel * 3 + channel;
        color[at] = color[at] * (1 - alpha) + sprite.color[from * 3 + channel] * light;
      }
      if (alpha >= 0.5) owner[pixel] = 0;
    }
  }
}
