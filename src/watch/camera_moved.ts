// Notices that a camera was moved or covered: the edges of its picture are not where they were.
import { quantile } from "../data/quantile.js";
import { InputError } from "../errors.js";
import { tolerance } from "./alarm_rule.js";
import type { LumaPicture } from "./luma.js";

/** Blocks have about this width and height, in pixels. */
const BLOCK = 8;
/** Shifts of up to so many pixels in each direction count as vibration. */
const SHAKE = 1;
/** In gray levels per pixel. Edges far above it all count as 1, so that weak ones count too. */
const STRONG_EDGE = 6;
/** A block of the reference counts if its mean squared edge is at least this, of 1 at most. */
const LEAST_EDGE = 0.02;
/** … and if other places match it less than this by chance. */
const MOST_CHANCE = 0.8;
/** Pixels to the other places, in each direction. */
const ELSEWHERE = 5;
/** A reference needs this share of blocks that count. */
const LEAST_BLOCKS = 1 / 8;
/** The similarity is this quantile of the blocks: people and vehicles may hide the others. */
const MATCHING = 0.75;
/** Below this similarity the camera counts as moved, … */
const MOVED = 0.45;
/** … and from this similarity on as back. */
const BACK = 0.55;
/** Seconds that a similarity must last. */
const HOLD = 10;
/** Seconds between two looks at the picture. */
const LOOK = 0.5;

/**
 * The edges of a picture: at each pixel a vector at twice the gradient's angle. So an edge from
 * dark to bright is the same as one from bright to dark, which infrared swaps. The vector's length
 * is 0…1. It is 0 along the border, at least {@link SHAKE} pixels wide.
 */
interface Edges {
  x: Float32Array;
  y: Float32Array;
  width: number;
  height: number;
}

/** The edges of a reference, cut into blocks. */
interface ReferenceEdges extends Edges {
  /** The block of each pixel. */
  block: Uint16Array;
  /** The sum of squared edges of each block. */
  energy: Float64Array;
  /**
   * How well each block matches other places of the reference nearby, 0…1. Along a straight kerb it
   * matches all of them, which says nothing about where the camera looks.
   */
  chance: Float64Array;
  /** The blocks that count. */
  counted: number[];
}

/**
 * Says when a camera was moved, turned or covered, and when it looks as before again. Both take
 * 10 seconds, so that a passing bus is no movement. The light does not matter, but the hour may:
 * shadows and lamps make edges of their own. So give a camera with infrared two references and two
 * of these, one for each of its modes.
 *
 * A picture that is all dark counts as covered. A reference without edges (see {@link hasEdges})
 * never says anything.
 */
export class CameraMoved {
  /** Whether the camera is moved or covered now. */
  isMoved = false;
  private readonly reference: ReferenceEdges;
  private looked = Number.NEGATIVE_INFINITY;
  /** Since when the picture has contradicted {@link isMoved}. */
  private since?: number;

  /** @param reference the usual picture, as from {@link ReferencePicture} */
  constructor(reference: LumaPicture) {
    this.reference = referenceEdges(reference);
  }

  /**
   * Takes the next frame's picture. Looks at two pictures per second at most.
   * @param picture of the reference's size
   * @param time seconds; must not fall
   * @returns what happened, if anything did
   * @throws InputError if the picture has another size
   */
  push(picture: LumaPicture, time: number): "moved" | "back" | undefined {
    if (time - this.looked < LOOK - tolerance) return undefined;
    // Nobody knows what happened in a gap.
    if (time - this.looked > HOLD) this.since = undefined;
    this.looked = time;
    const similar = similarityTo(this.reference, picture);
    if (this.isMoved ? similar < BACK : similar >= MOVED) {
      this.since = undefined;
      return undefined;
    }
    this.since ??= time;
    if (time - this.since < HOLD - tolerance) return undefined;
    this.since = undefined;
    this.isMoved = !this.isMoved;
    return this.isMoved ? "moved" : "back";
  }
}

/**
 * How well the edges of a picture match those of a reference, 0…1, whatever the light. At least a
 * quarter of the blocks match this well. Vibration by a pixel does not matter. It is near 1 for the
 * same view, mostly below 0.4 for another one, and 0 for a covered camera. It is 1 for a reference
 * without edges (see {@link hasEdges}), because nothing can be said then.
 * @throws InputError if the pictures differ in size
 */
export function similarity(reference: LumaPicture, picture: LumaPicture): number {
  return similarityTo(referenceEdges(reference), picture);
}

/** Whether a picture shows another view than a reference, as far as the reference can tell. */
export function isOtherView(reference: LumaPicture, picture: LumaPicture): boolean {
  return similarity(reference, picture) < MOVED;
}

/** Whether a reference has enough edges to tell that the camera was moved. */
export function hasEdges(reference: LumaPicture): boolean {
  return canTell(referenceEdges(reference));
}

function canTell({ counted, energy }: ReferenceEdges): boolean {
  return counted.length > 0 && counted.length >= LEAST_BLOCKS * energy.length;
}

function similarityTo(reference: ReferenceEdges, picture: LumaPicture): number {
  checkSize(picture, reference);
  if (!canTell(reference)) return 1;
  const { chance, counted } = reference;
  const edges = edgesOf(picture);
  let best = 0;
  for (const [dx, dy] of directions(SHAKE)) {
    const matches = blockMatches(reference, edges, dx, dy);
    const beyond = Float64Array.from(counted, (b) => (matches[b] - chance[b]) / (1 - chance[b]));
    best = Math.max(best, quantile(beyond, MATCHING));
  }
  return Math.min(1, best);
}

/** No shift, and shifts by so many pixels in the eight directions. */
function directions(pixels: number): [number, number][] {
  const steps = [0, -pixels, pixels];
  return steps.flatMap((dy) => steps.map((dx): [number, number] => [dx, dy]));
}

/**
 * The normalised cross-correlation of each block with the place in a picture that is some pixels
 * away, at least 0. Places beyond the border are those at the other side.
 */
function blockMatches(
  { x, y, width, block, energy }: Omit<ReferenceEdges, "chance" | "counted">,
  edges: Edges,
  dx: number,
  dy: number,
): Float64Array {
  const squares = new Float64Array(energy.length);
  const products = new Float64Array(energy.length);
  const [pixels, shift] = [block.length, dy * width + dx];
  for (let at = 0; at < pixels; at++) {
    const to = (at + shift + pixels) % pixels;
    const [edgeX, edgeY] = [edges.x[to], edges.y[to]];
    products[block[at]] += x[at] * edgeX + y[at] * edgeY;
    squares[block[at]] += edgeX * edgeX + edgeY * edgeY;
  }
  return products.map((product, b) => (product > 0 ? product / Math.sqrt(squares[b] * energy[b]) : 0));
}

function referenceEdges(reference: LumaPicture): ReferenceEdges {
  const { width, height } = reference;
  const edges = edgesOf(reference);
  const [columns, rows] = [Math.max(1, Math.floor(width / BLOCK)), Math.max(1, Math.floor(height / BLOCK))];
  const block = new Uint16Array(width * height);
  const [energy, pixels] = [new Float64Array(columns * rows), new Float64Array(columns * rows)];
  for (let at = 0; at < block.length; at++) {
    const [row, column] = [Math.floor(at / width), at % width];
    const b = Math.floor((row * rows) / height) * columns + Math.floor((column * columns) / width);
    block[at] = b;
    energy[b] += edges.x[at] ** 2 + edges.y[at] ** 2;
    pixels[b]++;
  }
  const places = directions(ELSEWHERE).slice(1);
  const chance = new Float64Array(energy.length);
  for (const [dx, dy] of places) {
    const matches = blockMatches({ ...edges, block, energy }, edges, dx, dy);
    for (let b = 0; b < chance.length; b++) chance[b] += matches[b] / places.length;
  }
  const counts = (b: number) => energy[b] >= LEAST_EDGE * pixels[b] && chance[b] < MOST_CHANCE;
  return { ...edges, block, energy, chance, counted: Array.from(energy.keys()).filter(counts) };
}

function edgesOf({ data, width, height }: LumaPicture): Edges {
  const [x, y] = [new Float32Array(width * height), new Float32Array(width * height)];
  for (let row = SHAKE; row < height - SHAKE; row++) {
    for (let at = row * width + SHAKE; at < (row + 1) * width - SHAKE; at++) {
      const [above, below] = [at - width, at + width];
      // The Sobel operator, in gray levels per pixel.
      const left = data[above - 1] + 2 * data[at - 1] + data[below - 1];
      const right = data[above + 1] + 2 * data[at + 1] + data[below + 1];
      const top = data[above - 1] + 2 * data[above] + data[above + 1];
      const bottom = data[below - 1] + 2 * data[below] + data[below + 1];
      const [dx, dy] = [(right - left) / 8, (bottom - top) / 8];
      const length = Math.hypot(dx, dy);
      if (length === 0) continue;
      const scale = 1 / (length * (length + STRONG_EDGE));
      x[at] = (dx * dx - dy * dy) * scale;
      y[at] = 2 * dx * dy * scale;
    }
  }
  return { x, y, width, height };
}

function checkSize({ width, height }: LumaPicture, wanted: { width: number; height: number }): void {
  if (width === wanted.width && height === wanted.height) return;
  throw new InputError(
    `a picture of ${width}×${height} cannot be compared with a reference of ${wanted.width}×${wanted.height}`,
  );
}

/**
 * Makes a camera's reference picture of many of its pictures: the median of each pixel, which
 * leaves out what stands there for less than half of the time. Take a picture every few seconds,
 * and only those of one mode, day or infrared. Memory is 1 kB per pixel, however many pictures.
 */
export class ReferencePicture {
  /** How many pictures have each level, pixel by pixel. */
  private counts?: Uint32Array;
  private size = { width: 0, height: 0 };
  private pictures = 0;

  /**
   * Takes a picture.
   * @throws InputError if it has another size than those before
   */
  push(picture: LumaPicture): void {
    const { data, width, height } = picture;
    if (!this.counts) {
      this.size = { width, height };
      this.counts = new Uint32Array(256 * width * height);
    }
    checkSize(picture, this.size);
    for (let at = 0; at < data.length; at++) this.counts[256 * at + data[at]]++;
    this.pictures++;
  }

  /** The reference picture so far. @throws InputError if there was no picture */
  finish(): LumaPicture {
    const { counts } = this;
    if (!counts) throw new InputError("a reference picture needs at least one picture");
    const data = Uint8Array.from({ length: counts.length / 256 }, (_, pixel) => {
      let level = 0;
      for (let below = counts[256 * pixel]; 2 * below < this.pictures; below += counts[256 * pixel + level]) level++;
      return level;
    });
    return { data, ...this.size };
  }
}
