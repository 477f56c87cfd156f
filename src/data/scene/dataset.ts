// The procedural scene as a data set in memory.

import { InputError } from "../../errors.js";
import type { Dataset, DatasetVideo } from "../dataset.js";
import { fromIterable } from "../frame.js";
import { type SceneAnomaly, sceneAnomalies } from "./actors.js";
import { createScene, type Scene, type SceneOptions, type SceneVideo } from "./scene.js";

/** Options of {@link sceneDataset}. */
export interface SceneDatasetOptions extends SceneOptions {
  /** Number of normal videos to train on. Default 8. */
  train?: number;
  /** Number of test videos, each with something abnormal. Default 6. */
  test?: number;
  /** Frames per video. Default 200. */
  frames?: number;
  /** The abnormal events of the test videos. Default: all kinds. */
  anomalies?: readonly SceneAnomaly[];
}

/** All settings of a data set. */
export type SceneDatasetSettings = Required<SceneDatasetOptions>;

/** The first test video's index. The number of training videos does not change the test videos. */
const TEST_INDEX = 1_000_000;

/** Fills in defaults. @throws InputError if a count is wrong or there are no anomalies */
export function sceneDatasetSettings(options: SceneDatasetOptions): SceneDatasetSettings {
  const settings: SceneDatasetSettings = {
    seed: 1,
    width: 360,
    height: 240,
    fps: 25,
    view: "wide",
    varyCamera: false,
    train: 8,
    test: 6,
    frames: 200,
    anomalies: sceneAnomalies,
    ...options,
  };
  for (const key of ["train", "test"] as const) {
    if (!Number.isSafeInteger(settings[key]) || settings[key] < 0) {
      throw new InputError(`scene: the number of ${key} videos must be a whole number from 0, not ${settings[key]}`);
    }
  }
  if (settings.test > 0 && settings.anomalies.length === 0)
    throw new InputError("scene: test videos need at least one kind of anomaly");
  return settings;
}

/**
 * The abnormal events of a test video. The kinds take turns. Every fourth video has a second event;
 * if there are more kinds than videos, others have one too.
 */
export function anomaliesOf(video: number, { test, anomalies: kinds }: SceneDatasetSettings): SceneAnomaly[] {
  const first = kinds[video % kinds.length];
  const left = test + video;
  if (left < kinds.length) return [first, kinds[left]];
  const second = kinds[(video + kinds.length - 2) % kinds.length];
  return video % 4 === 3 && second !== first ? [first, second] : [first];
}

/** A video of a data set, with its name and its abnormal events. */
export interface NamedSceneVideo {
  name: string;
  anomalies: readonly SceneAnomaly[];
  video: SceneVideo;
}

/** The videos of a split, in order. Each is made on demand. */
export function* sceneVideos(
  scene: Scene,
  split: "train" | "test",
  settings: SceneDatasetSettings,
): Generator<NamedSceneVideo> {
  const { frames } = settings;
  for (let i = 0; i < settings[split]; i++) {
    const anomalies = split === "test" ? anomaliesOf(i, settings) : [];
    const index = split === "test" ? TEST_INDEX + i : i;
    yield { name: sceneVideoName(i), anomalies, video: scene.video({ index, frames, anomalies }) };
  }
}

function sceneVideoName(i: number): string {
  return String(i + 1).padStart(2, "0");
}

/**
 * A data set of a scene, drawn while it is read: the same as `make-scene` writes to files. All
 * videos show the same place from the same point. Training videos are normal; test videos have one
 * or two abnormal events.
 * @throws InputError if the size, a count or another option is wrong
 */
export function sceneDataset(options: SceneDatasetOptions = {}): Dataset {
  const settings = sceneDatasetSettings(options);
  const scene = createScene(settings);
  const root = `scene ${settings.seed}`;
  const videosOf = (split: "train" | "test") =>
    [...sceneVideos(scene, split, settings)].map((one) =>
      datasetVideo(scene, `${root}/${split}/${one.name}`, one, split === "test"),
    );
  return { layout: "scene", root, train: videosOf("train"), test: videosOf("test"), notes: [] };
}

function datasetVideo(scene: Scene, path: string, { name, video }: NamedSceneVideo, withTruth: boolean): DatasetVideo {
  const { width, height, fps } = scene;
  const { frameCount } = video;
  function* frames() {
    for (let frame = 0; frame < frameCount; frame++) yield video.render(frame).image;
  }
  const numbers = Array.from({ length: frameCount }, (_, frame) => frame);
  return {
    name,
    path,
    frameCount,
    open: async () => fromIterable(frames, { width, height, fps, frameCount, name: path }),
    ...(withTruth && {
      labels: async () => Uint8Array.from(numbers, (frame) => video.truth(frame).label),
      mask: async (frame: number) => ({ width, height, data: video.truth(frame).mask }),
      tracks: async () => numbers.flatMap((frame) => video.truth(frame).boxes),
    }),
  };
}

/** Options of {@link sceneCollection}. */
export interface SceneCollectionOptions extends Omit<SceneDatasetOptions, "seed"> {
  /** Seeds of the streets to train on. */
  trainSeeds: readonly number[];
  /** Seeds of the streets to test on. */
  testSeeds: readonly number[];
}

/**
 * Scenes of several seeds as one data set: different streets, all seen from the same point. `train`
 * and `test` are the numbers of videos per street.
 * @throws InputError as {@link sceneDataset} does
 */
export function sceneCollection({ trainSeeds, testSeeds, ...options }: SceneCollectionOptions): Dataset {
  const videos = (seeds: readonly number[], split: "train" | "test") =>
    seeds.flatMap((seed) => {
      const none = split === "train" ? { test: 0 } : { train: 0 };
      return sceneDataset({ ...options, ...none, seed })[split].map((video) => ({
        ...video,
        name: `${seed}-${video.name}`,
      }));
    });
  return {
    layout: "scene",
    root: `scenes ${trainSeeds[0] ?? "-"} to ${trainSeeds.at(-1) ?? "-"}`,
    train: videos(trainSeeds, "train"),
    test: videos(testSeeds, "test"),
    notes: [],
  };
}
