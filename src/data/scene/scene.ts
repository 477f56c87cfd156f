// The procedurally generated street: scenes, their videos and the ground truth.

import { InputError } from "../../errors.js";
import { mix } from "../../random.js";
import type { TrackBox } from "../dataset.js";
import { checkFrameSize } from "../frame.js";
import { type Actor, type SceneAnomaly, sceneAnomalies, stageAnomaly } from "./actors.js";
import type { Camera } from "./camera.js";
import { crowd } from "./crowd.js";
import { Draw } from "./draw.js";
import { Light } from "./light.js";
import { type SceneView, Stage, sceneViews } from "./stage.js";
import type { Lane } from "./street.js";

/** Options of {@link createScene}. */
export interface SceneOptions {
  /** Determines everything: the place, the people, the weather, the noise. Default 1. */
  seed?: number;
  /** In pixels. Default 360 × 240. */
  width?: number;
  height?: number;
  /** Frames per second. Default 25. */
  fps?: number;
  /** The whole place ("wide"), or close to people. Default "wide". */
  view?: SceneView;
  /** Whether the camera's position depends on the seed. Default: it is the same for all. */
  varyCamera?: boolean;
}

/** Options of a scene's video. */
export interface SceneVideoOptions {
  /** The video's number. Each video has its own people and weather. */
  index: number;
  frames: number;
  /** The abnormal events, in this order over the video; "none" for a normal video. */
  anomalies: readonly SceneAnomaly[] | "none";
  /** How many people there are; 1 is usual. Default: varies from video to video. */
  density?: number;
}

/** The ground truth of a frame. */
export interface SceneTruth {
  /** One value per pixel, row-major: 1 if something abnormal is visible (not a shadow), else 0. */
  mask: Uint8Array;
  /**
   * The visible pixels' bounds of each abnormal thing. A thing has the same number in all frames.
   */
  boxes: TrackBox[];
  /** 1 if there is a box, which is if the mask has a pixel. */
  label: 0 | 1;
}

/** A frame: 8-bit B, G, R, interleaved, row-major, with its ground truth. */
export interface SceneFrame extends SceneTruth {
  image: Uint8Array;
}

/** A thing with fewer visible pixels counts as hidden. */
export const LEAST_PIXELS = 6;

/** A street, seen by a surveillance camera above it that never moves. */
export interface Scene {
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly camera: Camera;
  readonly lanes: readonly Lane[];
  /**
   * One of the scene's videos.
   * @throws InputError if index, frames or density are wrong, or an anomaly is unknown
   */
  video(options: SceneVideoOptions): SceneVideo;
}

/**
 * Builds a scene. The same options give the same bytes.
 * @throws InputError if size, rate, view or seed are wrong
 */
export function createScene({
  seed = 1,
  width = 360,
  height = 240,
  fps = 25,
  view = "wide",
  varyCamera = false,
}: SceneOptions = {}): Scene {
  checkFrameSize("scene", width, height);
  if (!(fps > 0 && fps < Number.POSITIVE_INFINITY)) throw new InputError(`scene: fps must be positive, not ${fps}`);
  if (!sceneViews.includes(view))
    throw new InputError(`scene: unknown view "${view}"; use one of ${sceneViews.join(", ")}`);
  if (!Number.isSafeInteger(seed)) throw new InputError(`scene: the seed must be a whole number, not ${seed}`);
  const stage = new Stage(seed, width, height, view, varyCamera);
  return {
    seed,
    width,
    height,
    fps,
    camera: stage.camera,
    lanes: stage.lanes,
    video: (options) => new SceneVideo(stage, fps, mix(seed, 2, options.index), options),
  };
}

/** One of a scene's videos. Frames can be drawn in any order. */
export class SceneVideo {
  readonly frameCount: number;
  /** All actors. Some have an {@link Actor.anomaly}. */
  readonly actors: readonly Actor[];
  private readonly light: Light;
  /** The abnormal actors. Their positions here are the numbers of their tracks. */
  private readonly abnormal: readonly Actor[];

  constructor(
    private readonly stage: Stage,
    private readonly fps: number,
    seed: number,
    { index, frames, anomalies, density }: SceneVideoOptions,
  ) {
    if (!Number.isSafeInteger(index))
      throw new InputError(`scene: a video's index must be a whole number, not ${index}`);
    if (!Number.isSafeInteger(frames) || frames < 1) {
      throw new InputError(`scene: a video needs a whole number of frames from 1, not ${frames}`);
    }
    if (density !== undefined && !(density >= 0 && density <= 10)) {
      throw new InputError(`scene: the density must be a number from 0 to 10, not ${density}`);
    }
    const kinds = anomalies === "none" ? [] : anomalies;
    const wrong = kinds.find((kind) => !sceneAnomalies.includes(kind));
    if (wrong !== undefined) {
      throw new InputError(`scene: unknown anomaly "${wrong}"; use ${sceneAnomalies.join(", ")}`);
    }
    this.frameCount = frames;
    const duration = frames / fps;
    const span = duration / kinds.length;
    const special = kinds.flatMap((kind, i) =>
      stageAnomaly(kind, stage.watched, { begin: i * span, span }, new Draw(seed, 3, i)),
    );
    const draw = new Draw(seed, 4);
    const usual = draw.number(0.7, 1.3);
    this.actors = [...special, ...crowd(stage.lanes, special, duration, density ?? usual, draw)];
    this.abnormal = special.filter(({ anomaly }) => anomaly);
    this.light = new Light(seed);
  }

  /** Draws a frame, with its ground truth. @throws InputError if the video does not have it */
  render(frame: number): SceneFrame {
    const time = this.timeOf(frame);
    const { color, owner, width, height } = this.stage.draw(this.standing(time), this.light.at(time));
    const image = this.light.expose(color, width, height, frame, time);
    return { image, ...this.truthOf(frame, owner) };
  }

  /**
   * Only the ground truth, which is much faster.
   * @throws InputError if the video does not have the frame
   */
  truth(frame: number): SceneTruth {
    return this.truthOf(frame, this.stage.owners(this.standing(this.timeOf(frame))));
  }

  private timeOf(frame: number): number {
    if (!Number.isSafeInteger(frame) || frame < 0 || frame >= this.frameCount) {
      throw new InputError(`scene: there is no frame ${frame}; the video has frames 0 to ${this.frameCount - 1}`);
    }
    return frame / this.fps;
  }

  private standing(time: number) {
    return this.stage.standing(this.actors, time, (actor) => {
      const { anomaly } = actor;
      return anomaly && time >= anomaly.begin && time < anomaly.end ? this.abnormal.indexOf(actor) + 1 : 0;
    });
  }

  private truthOf(frame: number, owner: Uint8Array): SceneTruth {
    const { width, height } = this.stage.camera;
    const pixels = new Uint32Array(this.abnormal.length);
    const bounds = this.abnormal.map((_, track) => ({ track, frame, x1: width, y1: height, x2: -1, y2: -1 }));
    for (let y = 0, pixel = 0; y < height; y++) {
      for (let x = 0; x < width; x++, pixel++) {
        if (owner[pixel] === 0) continue;
        const track = owner[pixel] - 1;
        const box = bounds[track];
        pixels[track]++;
        if (x < box.x1) box.x1 = x;
        if (x > box.x2) box.x2 = x;
        if (y < box.y1) box.y1 = y;
        box.y2 = y;
      }
    }
    const boxes = bounds.filter(({ track }) => pixels[track] >= LEAST_PIXELS);
    const seen = new Set(boxes.map(({ track }) => track + 1));
    const mask = new Uint8Array(owner.length);
    if (seen.size > 0) for (let pixel = 0; pixel < mask.length; pixel++) mask[pixel] = seen.has(owner[pixel]) ? 1 : 0;
    return { mask, boxes, label: boxes.length > 0 ? 1 : 0 };
  }
}
