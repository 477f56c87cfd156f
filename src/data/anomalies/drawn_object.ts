// Draws odd objects that training videos do not show: vehicles, riders, boxes, animals.
// They are pasted like moving objects of videos, so they teach appearance as well as speed.

import { mat2d } from "gl-matrix";
import type { BgrImage } from "../resize.js";
import { Draw, valueNoise } from "../scene/draw.js";
import { type Canvas, type Color, createCanvas, fillPolygon, fillStroke } from "../scene/raster.js";
import type { DrawnKind } from "./drawn_kinds.js";
import type { Box } from "./foreground.js";
import { boxAt } from "./insertion.js";
import { type ForegroundLibrary, type LibraryClip, type MovingObject, type ObjectCrop, windowEdge } from "./library.js";
import { pasteLayer, toCrop } from "./paste.js";

/** Objects are drawn this many times as large as they are pasted, so that their edges stay fine. */
const drawnScale = 2;
/** Frames of an object: those of a sample, and all between. */
const frameCount = 7;
const middle = 3;

/** Pixels of a person of a video, in seven frames, and how that video's foreground is found. */
export interface PersonCrop {
  object: MovingObject;
  crop: ObjectCrop;
  clip: Pick<LibraryClip, "low" | "high">;
}

/** What drawn objects have to fit. */
export interface DrawingStyle {
  /** The colour behind objects. */
  background: Color;
  /** Whether objects are gray, like the videos. */
  gray: boolean;
  /** Usual height of a person in the videos, in pixels. */
  personHeight: number;
  /** Draws a person of the videos. */
  person(draw: Draw): PersonCrop;
}

/** A drawn object: seven frames of the same size, and the background behind it. */
export interface DrawnObject {
  kind: DrawnKind;
  frames: BgrImage[];
  background: BgrImage;
  /** Around the object, in pixels of the frames. */
  box: Box;
}

/** A point in units of a person's height: x ahead, y up from the ground. */
type Point = readonly [x: number, y: number];

/** Draws one frame of an object. Lengths are in units of a person's height. */
interface Pen {
  /** −3 to 3. */
  readonly phase: number;
  stroke(a: Point, b: Point, radius: number, color: Color, endRadius?: number): void;
  polygon(points: readonly Point[], color: Color): void;
  ring(centre: Point, radius: number, thickness: number, color: Color): void;
  disc(centre: Point, radius: number, color: Color): void;
  /** A person of the videos. `scale` stretches him; `lean` turns him, in radians. */
  person(person: PersonCrop, feet: Point, scale?: Point, lean?: number): void;
}

/** How to draw an object: its reach in units, and its frames. */
interface Plan {
  /** From x = −half to half. */
  half: number;
  height: number;
  draw(pen: Pen): void;
}

/** Draws an object of a kind. The same random numbers give the same object. */
export function drawObject(kind: DrawnKind, draw: Draw, style: DrawingStyle): DrawnObject {
  const plan = plans[kind](draw, style);
  const unit = drawnScale * style.personHeight;
  const margin = 6;
  const width = Math.ceil(2 * plan.half * unit) + 2 * margin;
  const height = Math.ceil(plan.height * unit) + 2 * margin;
  const noise = {
    seed: Math.floor(draw.number(0, 2 ** 31)),
    size: draw.number(0.04, 0.3) * unit,
    depth: draw.number(0, 0.35),
  };
  const background = flatImage(width, height, style.background);
  const frames = Array.from({ length: frameCount }, (_, i) => {
    const pen = new ImagePen(i - middle, width, height, unit, margin, style);
    plan.draw(pen);
    return pen.finish(noise);
  });
  const [rx, ry] = [plan.half * unit + 2, (plan.height * unit) / 2 + 2];
  return { kind, frames, background, box: { x: width / 2, y: height - margin - ry + 2, rx, ry } };
}

function flatImage(width: number, height: number, color: Color): BgrImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = color[i % 3];
  return { data, width, height };
}

/** Differences from the background that count as foreground: what is drawn has no noise. */
export const drawnForeground = { low: 3, high: 9 } as const;

/** A pen that draws into an image. */
class ImagePen implements Pen {
  private image: BgrImage;

  constructor(
    readonly phase: number,
    private readonly width: number,
    private readonly height: number,
    private readonly unit: number,
    private readonly margin: number,
    private readonly style: DrawingStyle,
  ) {
    this.image = flatImage(width, height, style.background);
    this.canvas = createCanvas(width, height, true);
  }

  private canvas: Canvas;

  private at([x, y]: Point): [number, number] {
    return [this.width / 2 + x * this.unit, this.height - this.margin - y * this.unit];
  }

  stroke(a: Point, b: Point, radius: number, color: Color, endRadius = radius): void {
    const [[ax, ay], [bx, by]] = [this.at(a), this.at(b)];
    const [aRadius, bRadius] = [radius * this.unit, endRadius * this.unit];
    fillStroke(this.canvas, { ax, ay, aRadius, bx, by, bRadius }, color, 1, -0.1, -0.2, 1);
  }

  polygon(points: readonly Point[], color: Color): void {
    fillPolygon(
      this.canvas,
      points.map((point) => this.at(point)),
      color,
      1,
      1,
    );
  }

  ring(centre: Point, radius: number, thickness: number, color: Color): void {
    const sides = 14;
    const at = (i: number): Point => {
      const angle = (2 * Math.PI * i) / sides;
      return [centre[0] + radius * Math.cos(angle), centre[1] + radius * Math.sin(angle)];
    };
    for (let i = 0; i < sides; i++) this.stroke(at(i), at(i + 1), thickness, color);
  }

  disc(centre: Point, radius: number, color: Color): void {
    this.stroke(centre, centre, radius, color);
  }

  person({ object, crop, clip }: PersonCrop, feet: Point, scale: Point = [1, 1], lean = 0): void {
    this.flush();
    // Every third frame has a box; the ones between are interpolated.
    const box = boxAt(object.boxes, this.phase / middle);
    const size = this.unit / (2 * box.ry);
    const [x, y] = this.at(feet);
    const toImage = mat2d.fromTranslation(mat2d.create(), [x, y]);
    mat2d.rotate(toImage, toImage, lean);
    // He faces right, as all objects do.
    const facing = object.boxes[2].x < object.boxes[0].x ? -1 : 1;
    mat2d.scale(toImage, toImage, [facing * scale[0] * size, scale[1] * size]);
    mat2d.translate(toImage, toImage, [-box.x, -(box.y + box.ry)]);
    const affine = mat2d.invert(mat2d.create(), toImage);
    if (!affine) throw new Error("a person was scaled by 0");
    const layer = toCrop({ frame: 0, affine, box, plain: false }, crop);
    const source = { frame: crop.frames[this.phase + middle], background: crop.background };
    const look = { gain: [1, 1, 1] as const, bias: 0, low: clip.low, high: clip.high };
    const { frame, mask } = pasteLayer(this.image, source, layer, look);
    // Where somebody has the background's colour, pasting would take him for it.
    const { background } = this.style;
    const isNear = ({ data }: BgrImage, at: number) =>
      background.every((value, c) => Math.abs(data[at + c] - value) < leastContrast);
    for (const [pixel, covered] of mask.entries()) {
      const at = 3 * pixel;
      if (!isNear(frame, at) || (covered === 0 && isNear(this.image, at))) continue;
      for (let c = 0; c < 3; c++) frame.data[at + c] = apart(frame.data[at + c], background[c]);
    }
    this.image = frame;
  }

  /** Puts what was drawn so far onto the image. */
  private flush(noise?: { seed: number; size: number; depth: number }): void {
    const { color, alpha = [] } = this.canvas;
    const { data } = this.image;
    const { background, gray } = this.style;
    for (let pixel = 0; pixel < alpha.length; pixel++) {
      // Edges are hard here. Pasting softens them.
      if (alpha[pixel] < 0.5) continue;
      const [x, y] = [pixel % this.width, Math.floor(pixel / this.width)];
      const texture = noise ? 1 + noise.depth * (valueNoise(x / noise.size, y / noise.size, noise.seed) - 0.5) : 1;
      const own = [0, 1, 2].map((c) => (color[3 * pixel + c] / alpha[pixel]) * texture);
      const mean = (own[0] + own[1] + own[2]) / 3;
      for (let c = 0; c < 3; c++) data[3 * pixel + c] = apart(gray ? mean : own[c], background[c]);
    }
    this.canvas = createCanvas(this.width, this.height, true);
  }

  finish(noise: { seed: number; size: number; depth: number }): BgrImage {
    this.flush(noise);
    return this.image;
  }
}

/** The least difference from the background that counts as foreground fully. */
const leastContrast = drawnForeground.high + 1;

/** A value as a byte, moved away from the background's if it would count as background. */
function apart(value: number, background: number): number {
  const byte = Math.min(255, Math.max(0, Math.round(value)));
  if (Math.abs(byte - background) >= leastContrast) return byte;
  const moved = byte >= background ? background + leastContrast : background - leastContrast;
  return moved > 255 ? background - leastContrast : moved < 0 ? background + leastContrast : moved;
}

function anyColor(draw: Draw): Color {
  const light = draw.number(15, 240);
  const tint = () => Math.min(255, Math.max(0, light + draw.number(-50, 50)));
  return [tint(), tint(), tint()];
}

const tyre: Color = [32, 30, 30];

/** How each kind is drawn. Objects face right. */
const plans: Readonly<Record<DrawnKind, (draw: Draw, style: DrawingStyle) => Plan>> = {
  vehicle(draw, style) {
    const half = draw.number(0.5, 1.2);
    const [bottom, top] = [draw.number(0.1, 0.2), draw.number(0.45, 0.75)];
    const wheel = draw.number(0.1, 0.2);
    const roof = draw.number(top, 1.25);
    const [front, back] = [draw.number(0.2, 0.9), draw.number(0.3, 1)];
    const [body, cabin] = [anyColor(draw), anyColor(draw)];
    const driver = draw.chance(0.5) ? style.person(draw) : undefined;
    const open = draw.chance(0.5);
    return {
      half,
      height: Math.max(roof + 0.05, driver ? 1.15 : 0),
      draw(pen) {
        if (driver) pen.person(driver, [0, bottom + 0.1], [0.9, 0.9]);
        const [left, right] = [-half * back, half * front];
        if (open) {
          pen.stroke([left, top], [left, roof], 0.025, cabin);
          pen.stroke([right, top], [right, roof], 0.025, cabin);
          pen.stroke([left, roof], [right, roof], 0.04, cabin);
        } else {
          pen.polygon(
            [
              [left, top],
              [right, top],
              [0.8 * right, roof],
              [0.9 * left, roof],
            ],
            cabin,
          );
        }
        pen.polygon(
          [
            [-half, bottom],
            [half, bottom],
            [half, 0.85 * top],
            [0.6 * half, top],
            [-half, top],
          ],
          body,
        );
        for (const x of [-0.62 * half, 0.62 * half]) pen.disc([x, wheel], wheel, tyre);
      },
    };
  },
  cyclist(draw, style) {
    const [radius, apart] = [draw.number(0.16, 0.22), draw.number(0.24, 0.34)];
    const person = style.person(draw);
    const frame = anyColor(draw);
    const lean = draw.number(0, 0.35);
    const size = draw.number(0.8, 0.95);
    return {
      half: apart + radius + 0.08,
      height: 1.3,
      draw(pen) {
        for (const x of [-apart, apart]) pen.ring([x, radius], radius, 0.02, tyre);
        pen.stroke([-apart, radius], [0, 2.2 * radius], 0.02, frame);
        pen.stroke([0, 2.2 * radius], [apart, radius], 0.02, frame);
        pen.stroke([-0.4 * apart, 2.5 * radius], [0.8 * apart, 2.6 * radius], 0.025, frame);
        pen.stroke([apart, radius], [0.8 * apart, 3 * radius], 0.02, frame);
        pen.person(person, [-0.1, 0.6 * radius + 0.1], [size, size], lean);
      },
    };
  },
  box(draw) {
    const [half, height] = [draw.number(0.12, 0.6), draw.number(0.2, 1)];
    const [color, other] = [anyColor(draw), anyColor(draw)];
    const band = draw.number(0.2, 0.8);
    return {
      half,
      height,
      draw(pen) {
        pen.polygon(
          [
            [-half, 0],
            [half, 0],
            [half, height],
            [-half, height],
          ],
          color,
        );
        pen.polygon(
          [
            [-half, band * height],
            [half, band * height],
            [half, (band + 0.15) * height],
            [-half, (band + 0.15) * height],
          ],
          other,
        );
      },
    };
  },
  disc(draw) {
    const radius = draw.number(0.08, 0.32);
    const [color, other] = [anyColor(draw), anyColor(draw)];
    const turn = draw.number(0.1, 0.6);
    return {
      half: radius,
      height: 2 * radius,
      draw(pen) {
        pen.disc([0, radius], radius, color);
        const angle = -turn * pen.phase;
        const reach = 0.75 * radius;
        const [dx, dy] = [reach * Math.cos(angle), reach * Math.sin(angle)];
        pen.stroke([-dx, radius - dy], [dx, radius + dy], 0.18 * radius, other);
      },
    };
  },
  shape(draw) {
    const count = 2 + Math.floor(draw.number(0, 4));
    const [half, height] = [draw.number(0.15, 0.6), draw.number(0.3, 1.1)];
    const limbs = Array.from({ length: count }, () => ({
      from: [draw.number(-0.7, 0.7) * half, draw.number(0.2, 0.8) * height] as const,
      reach: draw.number(0.2, 0.5) * Math.min(half, height),
      angle: draw.number(0, 2 * Math.PI),
      swing: draw.number(-0.25, 0.25),
      radius: draw.number(0.05, 0.2) * Math.min(2 * half, height),
      color: anyColor(draw),
    }));
    return {
      half,
      height,
      draw(pen) {
        for (const { from, reach, angle, swing, radius, color } of limbs) {
          const now = angle + swing * pen.phase;
          pen.stroke(from, [from[0] + reach * Math.cos(now), from[1] + reach * Math.sin(now)], radius, color);
        }
      },
    };
  },
  stretched(draw, style) {
    const person = style.person(draw);
    const wide = draw.chance(0.5);
    const scale: Point = wide
      ? [draw.number(1.4, 2), draw.number(0.7, 1)]
      : [draw.number(0.8, 1.1), draw.number(1.2, 1.5)];
    const lying = draw.chance(0.4) ? (draw.chance(0.5) ? -1 : 1) * draw.number(1, 1.6) : 0;
    return {
      half: lying ? 1 : 0.6 * scale[0],
      height: lying ? 1 : scale[1] + 0.05,
      draw(pen) {
        // A lying person turns around his feet, which stay on the ground.
        pen.person(person, lying ? [lying > 0 ? -0.5 : 0.5, 0.25] : [0, 0], lying ? [1, 1] : scale, lying);
      },
    };
  },
  group(draw, style) {
    const people = Array.from({ length: 2 + Math.floor(draw.number(0, 2)) }, (_, i) => ({
      person: style.person(draw),
      feet: [(i - 0.7) * draw.number(0.2, 0.45), draw.number(0, 0.12)] as Point,
      scale: draw.number(0.85, 1.1),
    }));
    return {
      half: 1,
      height: 1.3,
      draw(pen) {
        for (const { person, feet, scale } of people) pen.person(person, feet, [scale, scale]);
      },
    };
  },
  trolley(draw, style) {
    const [half, height] = [draw.number(0.25, 0.45), draw.number(0.35, 0.6)];
    const person = style.person(draw);
    const color = anyColor(draw);
    return {
      half: 0.95,
      height: 1.05,
      draw(pen) {
        pen.person(person, [-0.45, 0]);
        const centre = 0.35;
        pen.stroke([centre - half, height], [-0.25, 0.62], 0.025, color);
        pen.polygon(
          [
            [centre - half, 0.18],
            [centre + half, 0.18],
            [centre + 1.1 * half, height],
            [centre - half, height],
          ],
          color,
        );
        for (const x of [centre - 0.7 * half, centre + 0.7 * half]) pen.disc([x, 0.09], 0.09, tyre);
      },
    };
  },
  scooter(draw, style) {
    const person = style.person(draw);
    const color = anyColor(draw);
    const half = draw.number(0.25, 0.36);
    return {
      half: half + 0.15,
      height: 1.15,
      draw(pen) {
        pen.stroke([-half, 0.08], [half, 0.08], 0.03, color);
        for (const x of [-half, half]) pen.disc([x, 0.06], 0.06, tyre);
        pen.stroke([half, 0.08], [0.8 * half, 0.62], 0.025, color);
        pen.person(person, [-0.05, 0.1]);
      },
    };
  },
  animal(draw) {
    const size = draw.number(0.35, 0.75);
    const color = anyColor(draw);
    const length = draw.number(0.9, 1.3) * size;
    const swing = draw.number(0.12, 0.3);
    return {
      half: 0.75 * length + 0.15,
      height: 1.25 * size,
      draw(pen) {
        const [back, front] = [-length / 2, length / 2];
        for (const [i, x] of [back, back + 0.08, front - 0.08, front].entries()) {
          const step = swing * size * Math.sin(pen.phase + (i % 2) * Math.PI);
          pen.stroke([x, 0.55 * size], [x + step, 0.03], 0.055 * size, color);
        }
        pen.stroke([back, 0.62 * size], [front, 0.66 * size], 0.17 * size, color);
        pen.stroke([front, 0.7 * size], [front + 0.22 * size, 0.98 * size], 0.1 * size, color);
        pen.stroke([front + 0.2 * size, 0.98 * size], [front + 0.4 * size, 0.9 * size], 0.08 * size, color);
        pen.stroke([back, 0.66 * size], [back - 0.25 * size, 0.9 * size], 0.03 * size, color);
      },
    };
  },
  pole(draw) {
    const [height, radius] = [draw.number(1, 1.5), draw.number(0.2, 0.4)];
    const [color, other] = [anyColor(draw), anyColor(draw)];
    return {
      half: radius,
      height: height + 0.1,
      draw(pen) {
        pen.stroke([0, 0.02], [0, height], 0.04, color);
        pen.polygon(
          [
            [-radius, 0.75 * height],
            [radius, 0.75 * height],
            [0, height + 0.05],
          ],
          other,
        );
      },
    };
  },
  crouched(draw, style) {
    const person = style.person(draw);
    const scale: Point = [draw.number(1.2, 1.5), draw.number(0.5, 0.65)];
    return {
      half: 0.6 * scale[0],
      height: scale[1] + 0.05,
      draw(pen) {
        pen.person(person, [0, 0], scale);
      },
    };
  },
};

/** Drawn objects, and the frames that they stand in. */
export interface DrawnClip {
  clip: LibraryClip;
  /** The sheets' frames, one after the other: the clip's frames. */
  frames: BgrImage[];
}

/** What {@link drawObjects} draws. */
export interface DrawingOptions {
  kinds: readonly DrawnKind[];
  /** Objects in all; kinds take turns. */
  count: number;
  seed: number;
  /** Pixels of an object of a clip, in its seven frames. */
  cropOf(object: MovingObject, clip: LibraryClip): Promise<ObjectCrop> | ObjectCrop;
  signal?: AbortSignal;
  /** Called after each object. */
  onObject?: () => void;
}

/** Drawn objects that training draws from. */
export const drawnCount = 210;

/** People of the videos that ride, or are stretched: as many as fit into memory easily. */
const mostPeople = 48;

/**
 * Draws objects that fit the videos of a library: people ride on some, their usual height gives
 * sizes, and gray videos get gray objects. They stand on sheets of the first clip's size. Lets
 * other work run between objects.
 * @throws the signal's reason
 */
export async function drawObjects(
  { clips }: Pick<ForegroundLibrary, "clips">,
  { kinds, count, seed, cropOf, signal, onObject }: DrawingOptions,
): Promise<DrawnClip> {
  const draw = new Draw(seed, 0x0b1ec7);
  const { width, height } = clips[0];
  const all = clips.flatMap((clip) => clip.objects.map((object) => ({ clip, object })));
  const heights = all.map(({ clip, object }) => (2 * object.boxes[1].ry * height) / clip.height).sort((a, b) => a - b);
  const people: PersonCrop[] = [];
  for (let i = 0; i < Math.min(mostPeople, all.length); i++) {
    const { clip, object } = draw.pick(all);
    people.push({ object, crop: await cropOf(object, clip), clip });
  }
  const style: DrawingStyle = {
    background: meanColor(clips.map(({ background }) => background)),
    gray: clips.every(({ gray }) => gray),
    personHeight: heights[heights.length >> 1],
    person: (by) => by.pick(people),
  };
  const objects: DrawnObject[] = [];
  for (let i = 0; i < count; i++) {
    objects.push(drawObject(kinds[i % kinds.length], draw, style));
    onObject?.();
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
  }
  const sheets = layOut(objects, width, height, style.background);
  const clip: LibraryClip = {
    name: "drawn objects",
    width,
    height,
    frameCount: frameCount * sheets.length,
    background: flatImage(width, height, style.background),
    ...drawnForeground,
    gray: style.gray,
    usual: { height: drawnScale * style.personHeight, foot: 0, slope: 0, stride: 0 },
    objects: sheets.flatMap(({ objects: placed }, sheet) =>
      placed.map(({ object, x, y }): MovingObject => {
        const box = { ...object.box, x: object.box.x + x, y: object.box.y + y };
        const crop = { x, y, frames: object.frames, background: object.background };
        return { frame: frameCount * sheet + middle, boxes: [box, box, box], crop, drawn: object.kind };
      }),
    ),
  };
  return { clip, frames: sheets.flatMap(({ frames }) => frames) };
}

/** The mean colour of images. */
function meanColor(images: readonly BgrImage[]): Color {
  const sums = [0, 0, 0];
  let pixels = 0;
  for (const { data } of images) {
    for (let i = 0; i < data.length; i++) sums[i % 3] += data[i];
    pixels += data.length / 3;
  }
  const [b, g, r] = sums.map((sum) => Math.round(sum / pixels));
  return [b, g, r];
}

/** Seven frames with drawn objects in rows, and where each stands. */
interface Sheet {
  frames: BgrImage[];
  objects: { object: DrawnObject; x: number; y: number }[];
}

/**
 * Lays objects out on sheets of a size. Objects that are larger than a sheet are left out. When an
 * object is pasted, the soft edge of its window must not reach its neighbours.
 */
function layOut(objects: readonly DrawnObject[], width: number, height: number, background: Color): Sheet[] {
  const gap = Math.ceil(windowEdge * Math.max(0, ...objects.flatMap(({ box: { rx, ry } }) => [rx, ry])));
  const sheets: Sheet[] = [];
  let [x, y, rowHeight] = [0, 0, 0];
  for (const object of objects) {
    const { width: w, height: h } = object.frames[0];
    if (w > width || h > height) continue;
    if (x + w > width) [x, y, rowHeight] = [0, y + rowHeight + gap, 0];
    let sheet = sheets.at(-1);
    if (!sheet || y + h > height) {
      sheet = { frames: object.frames.map(() => flatImage(width, height, background)), objects: [] };
      sheets.push(sheet);
      [x, y, rowHeight] = [0, 0, 0];
    }
    for (const [i, { data }] of object.frames.entries()) {
      for (let row = 0; row < h; row++) {
        sheet.frames[i].data.set(data.subarray(row * w * 3, (row + 1) * w * 3), ((y + row) * width + x) * 3);
      }
    }
    sheet.objects.push({ object, x, y });
    x += w + gap;
    rowHeight = Math.max(rowHeight, h);
  }
  return sheets;
}
