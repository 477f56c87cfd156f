// What is pasted into clips, and how it moves: cut-outs, pieces, and windows of another time.

import { mat2d, vec2 } from "gl-matrix";
import { sampleStride } from "../frame.js";
import type { Box } from "./foreground.js";
import type { LibraryClip, MovingObject } from "./library.js";
import { footOf, heightAt } from "./usual_person.js";

/** Most frames before and after its middle frame that a pseudo-anomaly lasts. */
const mostOffset = 24;
/** Most frames before and after its middle frame from which a speed-up takes its content. */
export const mostSpedUp = 20;
/** Greatest height of a cut-out, as a share of the frame's. */
const mostHeight = 0.5;

/**
 * What is pasted into one frame, and how. Coordinates are pixels of the scene's or the source's
 * frames, centres at +0.5.
 */
export interface PasteLayer {
  /** The position of the source's frame in its clip. */
  frame: number;
  /** Maps a point of the scene to one of the source. */
  affine: mat2d;
  /** The window of the source that is pasted. */
  box: Box;
  /** Whether the whole window is pasted, instead of only its foreground. */
  plain: boolean;
}

/** Something that is pasted into a clip, the scene, around one of its frames. */
export interface Insertion {
  scene: LibraryClip;
  /** The position of its middle frame in the scene. */
  frame: number;
  /** The clip that it comes from: another one, or the scene itself. */
  source: LibraryClip;
  object: MovingObject;
  /** Pasted colours are value · gain + bias. */
  gain: readonly [b: number, g: number, r: number];
  bias: number;
  /** The first and the last offset from {@link frame} at which it is visible. */
  first: number;
  last: number;
  /** What is pasted into the frame at an offset. A sample needs −3, 0 and 3. */
  layer(offset: number): PasteLayer;
}

/** Uniform in [0, 1). */
export type Random = () => number;
/** The least and the greatest value. */
export type Range = readonly [number, number];

export const between = (random: Random, [least, most]: Range) => least + (most - least) * random();
export const pick = <T>(random: Random, items: readonly T[]) => items[Math.floor(random() * items.length)];
const degrees = Math.PI / 180;

/**
 * A window of the scene, around something that moves there, in which time runs another way: at an
 * offset, the window shows what is there at `time(offset)`.
 * @param rate draws how fast time runs at most, a whole number: the window holds the way that the
 *   object goes meanwhile
 * @returns undefined if nothing moves near the frame, or the clip is too short
 */
export function insertTimeWindow(
  random: Random,
  scene: LibraryClip,
  frame: number,
  rate: () => number,
  time: (offset: number, rate: number) => number,
): Insertion | undefined {
  const near = scene.objects.filter((object) => Math.abs(object.frame - frame) <= sampleStride);
  if (near.length === 0) return undefined;
  const object = pick(random, near);
  const speed = rate();
  const reach = Math.min(frame, scene.frameCount - 1 - frame, mostSpedUp);
  if (speed * sampleStride > reach) return undefined;
  const most = Math.floor(reach / speed);
  // A window that holds the whole way, if the object keeps its velocity.
  const [before, now, after] = object.boxes;
  const velocity = vec2.fromValues(after.x - before.x, after.y - before.y);
  vec2.scale(velocity, velocity, 1 / (2 * sampleStride));
  const lag = frame - object.frame;
  const box: Box = {
    x: now.x + velocity[0] * lag,
    y: now.y + velocity[1] * lag,
    rx: 1.2 * now.rx + Math.abs(velocity[0]) * speed * most,
    ry: 1.2 * now.ry + Math.abs(velocity[1]) * speed * most,
  };
  const affine = mat2d.create();
  return {
    scene,
    frame,
    source: scene,
    object,
    gain: [1, 1, 1],
    bias: 0,
    first: -most,
    last: most,
    layer: (offset) => ({ frame: frame + time(clamp(offset, -most, most), speed), affine, box, plain: true }),
  };
}

/** How far something moves in three frames: in frame heights, or relative to a walk. */
export type Speed = { shift: Range } | { walk: Range };

/** How a cut-out looks and moves. Pairs are the least and the greatest value. */
export interface CutOutForm {
  /** Its size, relative to the original's as it would be seen at that place. */
  scale: Range;
  /** A walk is the original's own; of a drawn object it is people's usual one at that place. */
  speed: Speed;
  /** Most degrees by which it leaves the original's direction. */
  veer: number;
  /** Most degrees by which it is rotated. */
  rotation: number;
  gain: Range;
  /** Most grey levels that are added or subtracted. */
  bias: number;
  /** Whether its posture is frozen. */
  still?: boolean;
}

/**
 * An object of another clip, or a drawn one, which moves on a smooth path near a place where the
 * scene has an object.
 */
export function insertCutOut(
  random: Random,
  scene: LibraryClip,
  frame: number,
  { source, object }: { source: LibraryClip; object: MovingObject },
  cutOut: CutOutForm,
): Insertion {
  const [before, now, after] = object.boxes;
  const flip = random() < 0.5 ? -1 : 1;
  const angle = (2 * random() - 1) * cutOut.rotation * degrees;
  const turn = ((2 * random() - 1) * cutOut.rotation * degrees) / 8;

  // Feet stand where feet stood before. Some enter or leave at the side.
  const place = scene.objects.length > 0 ? pick(random, scene.objects).boxes[1] : relative(now, source, scene);
  const [across, down] = [random() - 0.5, random() - 0.5];
  const foot = clamp(footOf(place) + 0.1 * down * scene.height, 0, scene.height);
  const usual = usualAt(scene, foot);
  const asSeen = usual.height / usualAt(source, footOf(now)).height;
  const drawn = between(random, cutOut.scale) * asSeen;
  const size = Math.min(drawn, (mostHeight * scene.height) / (2 * now.ry));
  const centre = vec2.fromValues(
    clamp(place.x + across * 0.3 * scene.width, 0, scene.width),
    clamp(foot - size * now.ry, 0, scene.height),
  );

  // The direction in which it walks, a little changed. Drawn objects move where they face.
  const heading = vec2.fromValues(flip * (object.drawn ? 1 : after.x - before.x), after.y - before.y);
  const walk = object.drawn ? usual.stride : (vec2.length(heading) * size) / 2;
  vec2.normalize(heading, heading);
  vec2.rotate(heading, heading, [0, 0], (2 * random() - 1) * cutOut.veer * degrees);
  const { speed } = cutOut;
  const shift = "walk" in speed ? walk * between(random, speed.walk) : between(random, speed.shift) * scene.height;
  const velocity = vec2.scale(vec2.create(), heading, shift);
  const bend = vec2.fromValues(-velocity[1], velocity[0]);
  vec2.scale(bend, bend, (2 * random() - 1) * 0.04);

  const path = { centre, velocity, bend };
  const look = drawLook(random, scene, source, cutOut, 0.15);
  const boxOf = (phase: number) => boxAt(object.boxes, phase / sampleStride);
  const { still = false } = cutOut;
  const form = { scale: [flip * size, size] as const, angle, turn, boxOf, still };
  return { scene, frame, source, object, ...look, ...moving(scene, object, path, form) };
}

/** How a piece looks and moves. */
export interface PieceForm extends Pick<CutOutForm, "gain" | "bias"> {
  /** Its size, relative to the object that it is cut from as it would be seen at that place. */
  pieceSize: Range;
  /** A walk is people's usual one at that place. */
  speed: Speed;
  /** Where it is: near an object of the scene, or anywhere above the ground where one stands. */
  where: "near" | "anywhere";
}

/**
 * A small window of another clip's object that moves as if thrown: in any direction, falling,
 * turning.
 */
export function insertPiece(
  random: Random,
  scene: LibraryClip,
  frame: number,
  { source, object }: { source: LibraryClip; object: MovingObject },
  options: PieceForm,
): Insertion {
  const now = object.boxes[1];
  const half = between(random, options.pieceSize) * now.ry;
  const [dx, dy] = [(2 * random() - 1) * 0.3 * now.rx, (2 * random() - 1) * 0.5 * now.ry];
  const boxOf = (phase: number): Box => {
    const box = boxAt(object.boxes, phase / sampleStride);
    return { x: box.x + dx, y: box.y + dy, rx: half, ry: half };
  };
  const place = scene.objects.length > 0 ? pick(random, scene.objects).boxes[1] : relative(now, source, scene);
  const usual = usualAt(scene, footOf(place));
  const size = usual.height / usualAt(source, footOf(now)).height;
  const angle = random() * 360 * degrees;
  const turn = (2 * random() - 1) * 90 * degrees;

  const { speed } = options;
  const [least, most] = "walk" in speed ? scaled(speed.walk, usual.stride / scene.height) : speed.shift;
  const velocity = vec2.fromValues(between(random, [0.5 * least, most]) * scene.height, 0);
  vec2.rotate(velocity, velocity, [0, 0], random() * 360 * degrees);
  const bend = vec2.fromValues(0, random() * 0.4 * most * scene.height);
  const [across, up] = [random(), random()];
  const centre =
    options.where === "near"
      ? vec2.fromValues(
          clamp(place.x + (across - 0.5) * 0.3 * scene.width, 0, scene.width),
          clamp(place.y + (3 * up - 2) * place.ry, 0, scene.height),
        )
      : vec2.fromValues(across * scene.width, up * Math.min(place.y + place.ry, scene.height));
  const path = { centre, velocity, bend };
  const look = drawLook(random, scene, source, options, 0.5);
  const form = { scale: [size, size] as const, angle, turn, boxOf };
  return { scene, frame, source, object, ...look, ...moving(scene, object, path, form) };
}

const scaled = ([least, most]: Range, factor: number): Range => [least * factor, most * factor];

/** Height and stride in three frames, in pixels, of people whose feet are at a row. */
function usualAt({ usual }: LibraryClip, foot: number): { height: number; stride: number } {
  const height = heightAt(usual, foot);
  return { height, stride: usual.stride * height };
}

/** @param tint how much the channels' gains may differ; if either clip is gray, they do not */
function drawLook(
  random: Random,
  scene: LibraryClip,
  source: LibraryClip,
  options: Pick<CutOutForm, "gain" | "bias">,
  tint: number,
): Pick<Insertion, "gain" | "bias"> {
  const gain = between(random, options.gain);
  const channel = () => (source.gray || scene.gray ? gain : gain * between(random, [1 - tint, 1 + tint]));
  return { gain: [channel(), channel(), channel()], bias: (2 * random() - 1) * options.bias };
}

/**
 * The layers of a cut-out on a path: centre + velocity · t + bend · t² / 2, with t in steps of 3
 * frames.
 */
function moving(
  scene: LibraryClip,
  object: MovingObject,
  { centre, velocity, bend }: Record<"centre" | "velocity" | "bend", vec2>,
  form: {
    scale: readonly [number, number];
    angle: number;
    turn: number;
    boxOf(phase: number): Box;
    /** Whether the posture is frozen. */
    still?: boolean;
  },
): Pick<Insertion, "first" | "last" | "layer"> {
  const pathAt = (time: number): vec2 => {
    const point = vec2.scaleAndAdd(vec2.create(), centre, velocity, time);
    return vec2.scaleAndAdd(point, point, bend, 0.5 * time * time);
  };
  const layer = (offset: number): PasteLayer => {
    const time = offset / sampleStride;
    const there = pathAt(time);
    // Runs to and fro through the seven frames around the object's frame, so that it keeps walking.
    const phase = form.still ? 0 : swing(offset);
    const box = form.boxOf(phase);
    const toScene = mat2d.fromTranslation(mat2d.create(), there);
    mat2d.rotate(toScene, toScene, form.angle + form.turn * time);
    mat2d.scale(toScene, toScene, form.scale);
    mat2d.translate(toScene, toScene, [-box.x, -box.y]);
    const affine = mat2d.invert(mat2d.create(), toScene) as mat2d;
    return { frame: object.frame + phase, affine, box, plain: false };
  };
  const isVisible = (offset: number) => {
    const [x, y] = pathAt(offset / sampleStride);
    return x > 0 && y > 0 && x < scene.width && y < scene.height;
  };
  let [first, last] = [0, 0];
  while (first > -mostOffset && isVisible(first - 1)) first--;
  while (last < mostOffset && isVisible(last + 1)) last++;
  return { first, last, layer };
}

/** A triangle wave between −3 and 3; from −3 to 3 it equals its argument. */
function swing(offset: number): number {
  const period = 4 * sampleStride;
  const phase = (((offset + sampleStride) % period) + period) % period;
  return phase <= 2 * sampleStride ? phase - sampleStride : 3 * sampleStride - phase;
}

/** The object's box at a time from −1 to 1, in steps of three frames. */
export function boxAt([before, now, after]: MovingObject["boxes"], time: number): Box {
  const [from, to, share] = time < 0 ? [before, now, time + 1] : [now, after, time];
  return { ...now, x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

/** The same place relative to the frame, in the scene. */
function relative(box: Box, source: LibraryClip, scene: LibraryClip): Box {
  const [sx, sy] = [scene.width / source.width, scene.height / source.height];
  return { x: box.x * sx, y: box.y * sy, rx: box.rx * sx, ry: box.ry * sy };
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
