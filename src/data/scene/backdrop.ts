// The street without people, drawn once for each scene.

import { type ReadonlyVec3, vec3 } from "gl-matrix";
import type { Camera } from "./camera.js";
import { type Canvas, createCanvas, cutSprite, type Sprite } from "./raster.js";
import { castShadows, type GroundMap, paintParts } from "./solids.js";
import { ARCH, FACADE, facadeColor, groundColor, inArch, nearArch, streetFurniture } from "./street.js";

/** Something that stands still, which is drawn over everybody behind it. */
export interface Layer {
  /** Metres from the camera, along the optical axis. */
  depth: number;
  sprite: Sprite;
}

/** The empty street in full light. */
export interface Backdrop {
  /** Colours of ground and building, without shadows: B, G, R, interleaved, row-major. */
  color: Float32Array;
  ground: GroundMap;
  /** Shadows of the street's furniture, one value per pixel: 0 lit to 1 dark. */
  shade: Float32Array;
  /** Farthest first. */
  layers: Layer[];
}

/** Rays per pixel in each direction. The pavement's joints are thinner than a pixel. */
const RAYS = 3;

/**
 * Draws the empty street.
 * @param toSun unit vector towards the sun
 */
export function createBackdrop(camera: Camera, toSun: ReadonlyVec3, seed: number): Backdrop {
  const { width, height } = camera;
  const { color, ground, arch } = drawPlace(camera, seed);
  const shade = new Float32Array(width * height);
  const layers: Layer[] = [];
  const add = (sprite: Sprite | undefined, x: number, z: number) => {
    if (sprite) layers.push({ depth: camera.project([x, 0, z]).depth, sprite });
  };
  add(cutSprite(arch), ARCH.middle, FACADE);
  for (const { x, z, parts } of streetFurniture(seed)) {
    castShadows(shade, ground, camera, parts, toSun);
    const canvas = createCanvas(width, height, true);
    paintParts(canvas, camera, parts, toSun, 1, 0);
    add(cutSprite(canvas), x, z);
  }
  return { color, ground, shade, layers: layers.sort((a, b) => b.depth - a.depth) };
}

/**
 * Draws ground and building by casting rays.
 * @returns `arch` has only the wall around the archway, which hides people in there
 */
function drawPlace(camera: Camera, seed: number): Pick<Backdrop, "color" | "ground"> & { arch: Canvas } {
  const { width, height, eye } = camera;
  const pixels = width * height;
  const color = new Float32Array(pixels * 3);
  const ground: GroundMap = {
    width,
    height,
    x: new Float32Array(pixels).fill(Number.NaN),
    z: new Float32Array(pixels).fill(Number.NaN),
  };
  const arch = createCanvas(width, height, true);
  const archAlpha = arch.alpha!;
  /** Where a ray from the eye meets ground or building; distances are in lengths of the ray. */
  const meet = (ray: ReadonlyVec3) => {
    const wall = ray[2] < 0 ? (FACADE - eye[2]) / ray[2] : Number.POSITIVE_INFINITY;
    const floor = ray[1] < 0 ? -eye[1] / ray[1] : Number.POSITIVE_INFINITY;
    const point = (far: number) => vec3.scaleAndAdd(vec3.create(), eye, ray, far);
    return { onGround: floor <= wall, floor, point: point(Math.min(floor, wall)), beyond: point(floor) };
  };
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    const centre = meet(camera.ray(column + 0.5, row + 0.5));
    if (centre.onGround) [ground.x[pixel], , ground.z[pixel]] = centre.point;
    for (let ray = 0; ray < RAYS * RAYS; ray++) {
      const x = column + ((ray % RAYS) + 0.5) / RAYS;
      const { onGround, point, floor, beyond } = meet(camera.ray(x, row + (Math.floor(ray / RAYS) + 0.5) / RAYS));
      const isArch = !onGround && inArch(point[0], point[1]);
      // Through the archway one sees its floor, or else its back.
      const throughArch = isArch && Number.isFinite(floor) && beyond[2] > FACADE - 4;
      const seen = onGround
        ? groundColor(point[0], point[2], seed)
        : throughArch
          ? groundColor(beyond[0], beyond[2], seed)
          : facadeColor(point[0], point[1], seed);
      for (let channel = 0; channel < 3; channel++) color[pixel * 3 + channel] += seen[channel] / RAYS ** 2;
      if (!onGround && !isArch && nearArch(point[0], point[1])) {
        for (let channel = 0; channel < 3; channel++) arch.color[pixel * 3 + channel] += seen[channel] / RAYS ** 2;
        archAlpha[pixel] += 1 / RAYS ** 2;
      }
    }
  }
  return { color, ground, arch };
}
