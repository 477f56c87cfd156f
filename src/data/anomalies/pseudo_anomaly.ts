import { mat2d, vec2 } from "gl-matrix";
import { sampleStride } from "../frame.js";
import type { Box } from "./foreground.js";
import type { ForegroundLibrary, LibraryClip, MovingObject } from "./library.js";

export interface PseudoAnomalyOptions {
  /** Share of speed-ups; the rest are cut-outs, but for {@link pieces}. */
  speedup: number;
  /** Share of pieces: small windows of what moves elsewhere, on the path of something thrown. With speed-ups at most 1. */
  pieces: number;
  /** Size of a piece against what it is cut from, least and most. */
  pieceSize: readonly [number, number];
  /** How many times as fast a sped-up window runs, least and most, whole numbers. */
  speed: readonly [number, number];
  /** Size of a cut-out against its own, least and most. */
  scale: readonly [number, number];
  /** How far a cut-out moves in three frames, least and most, in heights of the frame. */
  shift: readonly [number, number];
  /** Largest angle that a cut-out is turned by, in degrees. */
  rotation: number;
  /** Factor on a cut-out's colours, least and most. */
  gain: readonly [number, number];
  /** Largest number of grey levels that are added or taken off. */
  bias: number;
}

/** What helped on Ped2: 0.9 to 2.2 times as large, 7 to 22 pixels per 3 frames at a height of 256. */
export const pseudoAnomalyDefaults: PseudoAnomalyOptions = {
  speedup: 0.5,
  pieces: 0,
  pieceSize: [0.1, 0.35],
  speed: [2, 5],
  scale: [0.9, 2.2],
  shift: [7 / 256, 22 / 256],
  rotation: 8,
  gain: [0.8, 1.25],
  bias: 20,
};

/** Frames before and behind its middle for which a pseudo-anomaly is defined. */
const mostOffset = 24;
/** Frames before and behind its middle that a speed-up takes its content from, at most. */
export const mostSpedUp = 20;
/** Height of a cut-out, as a share of the frame's, at most. */
const mostHeight = 0.5;

/** What is pasted into one frame, and how. Coordinates are pixels of the scene's and the source's own frames, centres at +0.5. */
export interface PasteLayer {
  /** The source's frame, by position in its clip. */
  frame: number;
  /** From a pixel of the scene to one of the source. */
  affine: mat2d;
  /** The window of the source that is pasted; beyond it nothing is. */
  box: Box;
  /** All of the window is pasted, not its foreground alone. */
  plain: boolean;
}

/** Something abnormal that was drawn for a frame of a clip, the scene. */
export interface PseudoAnomaly {
  kind: "cutout" | "speedup" | "piece";
  scene: LibraryClip;
  /** The scene's frame in its middle, by position. */
  frame: number;
  /** Where it comes from: another clip, or the scene itself. */
  source: LibraryClip;
  object: MovingObject;
  /** Colours of what is pasted: value · gain + bias. */
  gain: readonly [b: number, g: number, r: number];
  bias: number;
  /** The first and the last offset from {@link frame} at which there is something to see. */
  first: number;
  last: number;
  /** What is pasted into the frame at an offset; a sample needs those at −3, 0 and 3. */
  layer(offset: number): PasteLayer;
}

type Random = () => number;

const between = (random: Random, [least, most]: readonly [number, number]) => least + (most - least) * random();
const pick = <T>(random: Random, items: readonly T[]) => items[Math.floor(random() * items.length)];
const degrees = Math.PI / 180;

/**
 * Draws a pseudo-anomaly for a frame of a clip. The same generator draws the same.
 * @param random uniform in [0, 1)
 * @param clip the scene's position in the library
 * @param frame the scene's frame, by position
 * @returns a speed-up only where something moves about that frame, else a cut-out; undefined where no other clip has one
 */
export function drawPseudoAnomaly(
  random: Random,
  library: ForegroundLibrary,
  { clip, frame }: { clip: number; frame: number },
  options: PseudoAnomalyOptions = pseudoAnomalyDefaults,
): PseudoAnomaly | undefined {
  const scene = library.clips[clip];
  const others = library.clips.filter((other) => other !== scene && other.objects.length > 0);
  const kind = random();
  if (kind < options.speedup || others.length === 0) {
    const speedup = drawSpeedup(random, scene, frame, options);
    if (speedup || others.length === 0) return speedup;
  }
  const source = pick(random, others);
  return kind >= 1 - options.pieces
    ? drawPiece(random, scene, frame, source, options)
    : drawCutOut(random, scene, frame, source, options);
}

/** In a window of the scene time runs k times as fast about the frame: the window's content at an offset is that of k · offset. */
function drawSpeedup(
  random: Random,
  scene: LibraryClip,
  frame: number,
  options: PseudoAnomalyOptions,
): PseudoAnomaly | undefined {
  const near = scene.objects.filter((object) => Math.abs(object.frame - frame) <= sampleStride);
  if (near.length === 0) return undefined;
  const object = pick(random, near);
  const speed = Math.round(between(random, options.speed));
  const reach = Math.min(frame, scene.frameCount - 1 - frame, mostSpedUp);
  if (speed * sampleStride > reach) return undefined;
  const most = Math.floor(reach / speed);
  // Where it comes from and goes to, if it goes on as it does.
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
    kind: "speedup",
    scene,
    frame,
    source: scene,
    object,
    gain: [1, 1, 1],
    bias: 0,
    first: -most,
    last: most,
    layer: (offset) => ({ frame: frame + speed * clamp(offset, -most, most), affine, box, plain: true }),
  };
}

/** An object of another clip, moving along a smooth path through a place where something of the scene was seen. */
function drawCutOut(
  random: Random,
  scene: LibraryClip,
  frame: number,
  source: LibraryClip,
  options: PseudoAnomalyOptions,
): PseudoAnomaly {
  const object = pick(random, source.objects);
  const [before, now, after] = object.boxes;
  const drawn = (between(random, options.scale) * scene.height) / source.height;
  const size = Math.min(drawn, (mostHeight * scene.height) / (2 * now.ry));
  const flip = random() < 0.5 ? -1 : 1;
  const angle = (2 * random() - 1) * options.rotation * degrees;
  const turn = ((2 * random() - 1) * options.rotation * degrees) / 8;

  // The way it walks, faster and a little off.
  const heading = vec2.fromValues(flip * (after.x - before.x), after.y - before.y);
  vec2.normalize(heading, heading);
  vec2.rotate(heading, heading, [0, 0], (2 * random() - 1) * 15 * degrees);
  const velocity = vec2.scale(vec2.create(), heading, between(random, options.shift) * scene.height);
  const bend = vec2.fromValues(-velocity[1], velocity[0]);
  vec2.scale(bend, bend, (2 * random() - 1) * 0.04);

  // Feet stand where feet stood; some come in or go out at the side.
  const place = scene.objects.length > 0 ? pick(random, scene.objects).boxes[1] : relative(now, source, scene);
  const centre = vec2.fromValues(
    clamp(place.x + (random() - 0.5) * 0.3 * scene.width, 0, scene.width),
    clamp(place.y + place.ry - size * now.ry + (random() - 0.5) * 0.1 * scene.height, 0, scene.height),
  );
  const path = { centre, velocity, bend };
  const look = drawLook(random, scene, source, options, 0.15);
  const boxOf = (phase: number) => boxAt(object.boxes, phase / sampleStride);
  const form = { scale: [flip * size, size] as const, angle, turn, boxOf };
  return { kind: "cutout", scene, frame, source, object, ...look, ...moving(scene, object, path, form) };
}

/** A small window of an object of another clip, anywhere about something of the scene, as if thrown: any way, falling, turning. */
function drawPiece(
  random: Random,
  scene: LibraryClip,
  frame: number,
  source: LibraryClip,
  options: PseudoAnomalyOptions,
): PseudoAnomaly {
  const object = pick(random, source.objects);
  const now = object.boxes[1];
  const half = between(random, options.pieceSize) * now.ry;
  const [dx, dy] = [(2 * random() - 1) * 0.3 * now.rx, (2 * random() - 1) * 0.5 * now.ry];
  const boxOf = (phase: number): Box => {
    const box = boxAt(object.boxes, phase / sampleStride);
    return { x: box.x + dx, y: box.y + dy, rx: half, ry: half };
  };
  const size = scene.height / source.height;
  const angle = random() * 360 * degrees;
  const turn = (2 * random() - 1) * 90 * degrees;

  const [least, most] = options.shift;
  const velocity = vec2.fromValues(between(random, [0.5 * least, most]) * scene.height, 0);
  vec2.rotate(velocity, velocity, [0, 0], random() * 360 * degrees);
  const bend = vec2.fromValues(0, random() * 0.4 * most * scene.height);
  const place = scene.objects.length > 0 ? pick(random, scene.objects).boxes[1] : relative(now, source, scene);
  const centre = vec2.fromValues(
    clamp(place.x + (random() - 0.5) * 0.3 * scene.width, 0, scene.width),
    clamp(place.y + (3 * random() - 2) * place.ry, 0, scene.height),
  );
  const path = { centre, velocity, bend };
  const look = drawLook(random, scene, source, options, 0.5);
  const form = { scale: [size, size] as const, angle, turn, boxOf };
  return { kind: "piece", scene, frame, source, object, ...look, ...moving(scene, object, path, form) };
}

/** @param tint how far the gains of a colour's channels may be from each other; colours stay gray where they are gray */
function drawLook(
  random: Random,
  scene: LibraryClip,
  source: LibraryClip,
  options: PseudoAnomalyOptions,
  tint: number,
): Pick<PseudoAnomaly, "gain" | "bias"> {
  const gain = between(random, options.gain);
  const channel = () => (source.gray || scene.gray ? gain : gain * between(random, [1 - tint, 1 + tint]));
  return { gain: [channel(), channel(), channel()], bias: (2 * random() - 1) * options.bias };
}

/** A cut-out's layers along a path: where it is, in steps of three frames, is centre + velocity t + bend t² / 2. */
function moving(
  scene: LibraryClip,
  object: MovingObject,
  { centre, velocity, bend }: Record<"centre" | "velocity" | "bend", vec2>,
  form: { scale: readonly [number, number]; angle: number; turn: number; boxOf(phase: number): Box },
): Pick<PseudoAnomaly, "first" | "last" | "layer"> {
  const pathAt = (time: number): vec2 => {
    const point = vec2.scaleAndAdd(vec2.create(), centre, velocity, time);
    return vec2.scaleAndAdd(point, point, bend, 0.5 * time * time);
  };
  const layer = (offset: number): PasteLayer => {
    const time = offset / sampleStride;
    const there = pathAt(time);
    // To and fro through the seven frames about the object's own, so that it goes on walking.
    const phase = swing(offset);
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

/** A wave that runs −3 … 3 and back, and is its argument from −3 to 3. */
function swing(offset: number): number {
  const period = 4 * sampleStride;
  const along = (((offset + sampleStride) % period) + period) % period;
  return along <= 2 * sampleStride ? along - sampleStride : 3 * sampleStride - along;
}

function boxAt([before, now, after]: MovingObject["boxes"], time: number): Box {
  const [from, to, share] = time < 0 ? [before, now, time + 1] : [now, after, time];
  return { ...now, x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

function relative(box: Box, source: LibraryClip, scene: LibraryClip): Box {
  const [sx, sy] = [scene.width / source.width, scene.height / source.height];
  return { x: box.x * sx, y: box.y * sy, rx: box.rx * sx, ry: box.ry * sy };
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
