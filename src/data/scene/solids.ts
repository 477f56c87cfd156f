// Solid parts: placing them, drawing them and casting their shadows.

import { type mat4, type ReadonlyVec3, vec3 } from "gl-matrix";
import type { Camera } from "./camera.js";
import { type Canvas, type Color, fillPolygon, fillStroke, insideBy, polygonEdges, span } from "./raster.js";

/** A tapered rod with round ends, in metres. */
export interface Capsule {
  a: ReadonlyVec3;
  b: ReadonlyVec3;
  aRadius: number;
  bRadius: number;
  color: Color;
}

/** A flat convex polygon in metres, counter-clockwise seen from outside. Invisible from behind. */
export interface Face {
  corners: readonly ReadonlyVec3[];
  color: Color;
}

/** A part of something that stands or moves. */
export type Part = Capsule | Face;

/** A capsule from a to b, in metres. */
export function capsule(a: ReadonlyVec3, b: ReadonlyVec3, aRadius: number, color: Color, bRadius = aRadius): Capsule {
  return { a, b, aRadius, bRadius, color };
}

/** The six faces of an upright box. */
export function box(low: ReadonlyVec3, high: ReadonlyVec3, color: Color): Face[] {
  const [[x, y, z], [X, Y, Z]] = [low, high];
  const faces: ReadonlyVec3[][] = [
    [[x, Y, z], [x, Y, Z], [X, Y, Z], [X, Y, z]], // biome-ignore format: a face a line
    [
      [x, y, z],
      [X, y, z],
      [X, y, Z],
      [x, y, Z],
    ],
    [
      [x, y, Z],
      [X, y, Z],
      [X, Y, Z],
      [x, Y, Z],
    ],
    [
      [X, y, z],
      [x, y, z],
      [x, Y, z],
      [X, Y, z],
    ],
    [
      [X, y, Z],
      [X, y, z],
      [X, Y, z],
      [X, Y, Z],
    ],
    [
      [x, y, z],
      [x, y, Z],
      [x, Y, Z],
      [x, Y, z],
    ],
  ];
  return faces.map((corners) => ({ corners, color }));
}

/** Moves parts from their own coordinates to the world's. */
export function placeParts(parts: readonly Part[], placement: mat4): Part[] {
  const moved = (point: ReadonlyVec3) => vec3.transformMat4(vec3.create(), point, placement);
  return parts.map((part) =>
    "corners" in part ? { ...part, corners: part.corners.map(moved) } : { ...part, a: moved(part.a), b: moved(part.b) },
  );
}

/** The mean of a part's points. */
function middle(part: Part): vec3 {
  const points = "corners" in part ? part.corners : [part.a, part.b];
  const sum = vec3.create();
  for (const point of points) vec3.add(sum, sum, point);
  return vec3.scale(sum, sum, 1 / points.length);
}

/** How much brighter a rod is on the side towards the sun. */
const ROUNDNESS = 0.3;

/**
 * Draws parts, farthest first.
 * @param toSun unit vector towards the sun
 * @param light brightness, as a share of full light
 * @param owner their number on the canvas
 */
export function paintParts(
  canvas: Canvas,
  camera: Camera,
  parts: readonly Part[],
  toSun: ReadonlyVec3,
  light: number,
  owner: number,
): void {
  const [sunX, sunY] = camera.turn(toSun);
  const sorted = parts.map((part) => ({ part, depth: camera.project(middle(part)).depth }));
  for (const { part } of sorted.sort((a, b) => b.depth - a.depth)) {
    if ("corners" in part) paintFace(canvas, camera, part, toSun, light, owner);
    else {
      const [a, b] = [camera.project(part.a), camera.project(part.b)];
      if (a.depth < NEAREST || b.depth < NEAREST) continue;
      const stroke = {
        ax: a.x,
        ay: a.y,
        aRadius: (part.aRadius * camera.focal) / a.depth,
        bx: b.x,
        by: b.y,
        bRadius: (part.bRadius * camera.focal) / b.depth,
      };
      fillStroke(canvas, stroke, part.color, light, sunX * ROUNDNESS, -sunY * ROUNDNESS, owner);
    }
  }
}

/** Things closer to the camera, in metres, are not drawn. */
const NEAREST = 0.5;

function paintFace(
  canvas: Canvas,
  camera: Camera,
  { corners, color }: Face,
  toSun: ReadonlyVec3,
  light: number,
  owner: number,
): void {
  const [first, second, third] = corners;
  const edge = vec3.subtract(vec3.create(), second, first);
  const normal = vec3.cross(vec3.create(), edge, vec3.subtract(vec3.create(), third, second));
  vec3.normalize(normal, normal);
  if (vec3.dot(normal, vec3.subtract(vec3.create(), camera.eye, first)) <= 0) return;
  const seen = corners.map((corner) => camera.project(corner));
  if (seen.some((corner) => corner.depth < NEAREST)) return;
  const facing = 0.65 + 0.4 * Math.max(0, vec3.dot(normal, toSun));
  fillPolygon(
    canvas,
    seen.map(({ x, y }) => [x, y] as const),
    color,
    light * facing,
    owner,
  );
}

/** The point of the ground that each pixel shows. */
export interface GroundMap {
  width: number;
  height: number;
  /** In metres; NaN if the pixel does not show the ground. */
  x: Float32Array;
  z: Float32Array;
}

/** Half the width of a shadow's soft edge in metres, and its growth per metre of height. */
const [PENUMBRA, PENUMBRA_GROWTH] = [0.03, 0.015];

/**
 * Adds the shadows of parts on the ground to `shade`, one value per pixel, 0 lit to 1 dark.
 * Overlapping shadows do not add up.
 */
export function castShadows(
  shade: Float32Array,
  ground: GroundMap,
  camera: Camera,
  parts: readonly Part[],
  toSun: ReadonlyVec3,
): void {
  const onGround = ([x, y, z]: ReadonlyVec3) => [x - (y * toSun[0]) / toSun[1], z - (y * toSun[2]) / toSun[1]] as const;
  for (const part of parts) {
    const points = ("corners" in part ? part.corners : [part.a, part.b]).map(onGround);
    const reach = "corners" in part ? 0 : Math.max(part.aRadius, part.bRadius);
    const soft = PENUMBRA + PENUMBRA_GROWTH * middle(part)[1];
    const bounds = groundBounds(camera, points, reach + soft);
    if (!bounds) continue;
    const edges = "corners" in part ? polygonEdges(points) : [];
    const [[ax, az], [bx, bz]] = points;
    const [dx, dz] = [bx - ax, bz - az];
    const length2 = dx * dx + dz * dz || 1;
    for (let row = bounds.top; row < bounds.bottom; row++) {
      for (let column = bounds.left; column < bounds.right; column++) {
        const pixel = row * ground.width + column;
        const [x, z] = [ground.x[pixel], ground.z[pixel]];
        let inside: number;
        if ("corners" in part) inside = insideBy(edges, x, z);
        else {
          const along = Math.min(1, Math.max(0, ((x - ax) * dx + (z - az) * dz) / length2));
          const [offX, offZ] = [x - ax - along * dx, z - az - along * dz];
          inside = part.aRadius + (part.bRadius - part.aRadius) * along - Math.sqrt(offX * offX + offZ * offZ);
        }
        // Also skips NaN: no ground is visible there.
        if (!(inside > -soft)) continue;
        const dark = Math.min(1, (inside + soft) / (2 * soft));
        if (dark > shade[pixel]) shade[pixel] = dark;
      }
    }
  }
}

/** The pixels that may show the ground around these points. Undefined if there are none. */
function groundBounds(camera: Camera, points: readonly (readonly [x: number, z: number])[], reach: number) {
  const seen = points.flatMap(([x, z]) =>
    [-reach, reach].flatMap((dx) => [-reach, reach].map((dz) => camera.project([x + dx, 0, z + dz]))),
  );
  if (seen.some(({ depth }) => depth < NEAREST)) return undefined;
  const xs = seen.map(({ x }) => x);
  const ys = seen.map(({ y }) => y);
  const [left, right] = span(Math.min(...xs), Math.max(...xs), camera.width);
  const [top, bottom] = span(Math.min(...ys), Math.max(...ys), camera.height);
  return left < right && top < bottom ? { left, right, top, bottom } : undefined;
}
