// The views of the scene, and the place as a camera sees it, with the actors of a moment.
import { type ReadonlyVec3, vec3 } from "gl-matrix";
import type { Actor } from "./actors.js";
import { type Backdrop, createBackdrop } from "./backdrop.js";
import { Camera } from "./camera.js";
import { Draw } from "./draw.js";
import type { Brightness } from "./light.js";
import { type Canvas, createCanvas, drawSprite } from "./raster.js";
import { castShadows, type Part, paintParts } from "./solids.js";
import { type Lane, lightAt, streetLanes } from "./street.js";

/** An actor at some time. */
export interface Standing {
  parts: readonly Part[];
  /** Its place on the ground, in metres. */
  x: number;
  z: number;
  /** Metres from the camera, along the optical axis. */
  depth: number;
  /** Its number on the canvas; 0 if it is not labelled. */
  owner: number;
}

/**
 * Where the camera hangs, what it looks at, and on which lanes abnormal events happen. The close
 * view shows the promenade, with people about twice as tall in the frame.
 */
const views = {
  wide: { eye: [0, 5.4, 0], target: [1.8, 0.9, -12], fieldOfView: 0.72, watched: ["near", "far", "away", "towards"] },
  close: { eye: [0, 4.2, -2], target: [1.2, 0.9, -10.5], fieldOfView: 0.56, watched: ["near", "far"] },
} as const;
/** The name of a view. */
export type SceneView = keyof typeof views;
/** All views. */
export const sceneViews = Object.keys(views) as readonly SceneView[];

/** The place, the camera, and drawing of both with actors. */
export class Stage {
  readonly camera: Camera;
  readonly lanes: readonly Lane[];
  /** The lanes on which abnormal events may happen. */
  readonly watched: readonly Lane[];
  private readonly toSun: ReadonlyVec3;
  private readonly backdrop: Backdrop;
  private readonly canvas: Canvas;
  private readonly shade: Float32Array;

  constructor(seed: number, width: number, height: number, view: SceneView, varyCamera: boolean) {
    const draw = new Draw(seed, 1);
    const vary = (range: number) => (varyCamera ? draw.number(-range, range) : 0);
    const { eye, target, fieldOfView, watched } = views[view];
    this.camera = new Camera({
      eye: [eye[0] + vary(0.8), eye[1] + vary(0.8), eye[2]],
      target: [target[0] + vary(1), target[1], target[2] + vary(0.7)],
      ...{ fieldOfView, width, height },
    });
    this.lanes = streetLanes(this.camera);
    this.watched = this.lanes.filter(({ name }) => (watched as readonly string[]).includes(name));
    // The sun is behind the camera, to the left.
    this.toSun = vec3.normalize(vec3.create(), [-0.75, 1, 0.35]);
    this.backdrop = createBackdrop(this.camera, this.toSun, seed);
    this.canvas = createCanvas(width, height);
    this.shade = new Float32Array(width * height);
  }

  /** The actors who are there at a time, farthest first. */
  standing(actors: readonly Actor[], time: number, owner: (actor: Actor) => number): Standing[] {
    const present = actors.filter(({ begin, end }) => time >= begin && time < end);
    const standing = present.map((actor) => {
      const { x, z } = actor.at(time);
      const { depth } = this.camera.project([x, 0, z]);
      return { parts: actor.parts(time), x, z, depth, owner: owner(actor) };
    });
    return standing.sort((a, b) => b.depth - a.depth);
  }

  /** Draws the place with these actors. The next call reuses the canvas. */
  draw(standing: readonly Standing[], light: Brightness): Canvas {
    const { canvas, shade, camera, toSun } = this;
    const { color, ground, shade: still } = this.backdrop;
    shade.set(still);
    for (const { parts } of standing) castShadows(shade, ground, camera, parts, toSun);
    for (let pixel = 0, at = 0; pixel < shade.length; pixel++) {
      const level = light.sky + light.sun * (1 - shade[pixel]);
      for (let channel = 0; channel < 3; channel++, at++) canvas.color[at] = color[at] * level;
    }
    this.drawStanding(standing, light);
    return canvas;
  }

  /**
   * The number of the actor that is visible in each pixel: the same as by {@link draw}, but faster.
   */
  owners(standing: readonly Standing[]): Uint8Array {
    const { owner } = this.canvas;
    // Actors behind the first labelled one hide nothing.
    const first = standing.findIndex(({ owner }) => owner > 0);
    if (first < 0) owner.fill(0);
    else this.drawStanding(standing.slice(first), { sky: 1, sun: 0 });
    return owner;
  }

  private drawStanding(standing: readonly Standing[], { sky, sun }: Brightness): void {
    const { canvas, camera, toSun } = this;
    canvas.owner.fill(0);
    const layers = [...this.backdrop.layers];
    const drawLayers = (beyond: number) => {
      while (layers.length > 0 && layers[0].depth > beyond) drawSprite(canvas, layers.shift()!.sprite, sky + sun);
    };
    for (const { parts, x, z, depth, owner } of standing) {
      drawLayers(depth);
      const light = (sky + sun * (1 - 0.8 * this.shadeAt(x, z))) * lightAt(z);
      paintParts(canvas, camera, parts, toSun, light, owner);
    }
    drawLayers(Number.NEGATIVE_INFINITY);
  }

  /** How much a place lies in the shade of the street's furniture, 0 to 1. */
  private shadeAt(x: number, z: number): number {
    const seen = this.camera.project([x, 0, z]);
    const [column, row] = [Math.floor(seen.x), Math.floor(seen.y)];
    const { width, height } = this.camera;
    if (!(seen.depth > 0 && column >= 0 && column < width && row >= 0 && row < height)) return 0;
    return this.backdrop.shade[row * width + column];
  }
}
