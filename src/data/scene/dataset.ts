import { InputError } from "../../errors.js";
import type { Dataset, DatasetVideo } from "../dataset.js";
import { fromIterable } from "../frame.js";
import { type SceneAnomaly, sceneAnomalies } from "./actors.js";
import { createScene, type Scene, type SceneOptions, type SceneVideo } from "./scene.js";

export interface SceneDatasetOptions extends SceneOptions {
  /** How many normal videos to learn from; default 8. */
  train?: number;
  /** How many videos with something abnormal; default 6. */
  test?: number;
  /** Frames a video; default 200. */
  frames?: number;
  /** What happens in the test videos; default everything that there is. */
  anomalies?: readonly SceneAnomaly[];
}

/** A data set's settings, all of them. */
export type SceneDatasetSettings = Required<SceneDatasetOptions>;

/** Indices of the test videos start here, so that more training videos change none of them. */
const TEST_INDEX = 1_000_000;

/** Fills in what was left out. @throws InputError for counts or anomalies that cannot be */
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
  if (settings.test > 0 && settings.anomalies.length === 0) throw new InputError("scene: no anomaly was named");
  return settings;
}

/**
 * What happens in a test video. Each kind has its turn; every fourth video, and more of them where there are more kinds than
 * videos, has a second one.
 */
export function anomaliesOf(video: number, { test, anomalies: kinds }: SceneDatasetSettings): SceneAnomaly[] {
  const first = kinds[video % kinds.length];
  const left = test + video;
  if (left < kinds.length) return [first, kinds[left]];
  const second = kinds[(video + kinds.length - 2) % kinds.length];
  return video % 4 === 3 && second !== first ? [first, second] : [first];
}

/** A video of a data set, with what is made of it. */
export interface NamedSceneVideo {
  name: string;
  anomalies: readonly SceneAnomaly[];
  video: SceneVideo;
}

/** The videos of a split, in order; each is made when its turn comes. */
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
 * A data set of a scene that is drawn when it is read: the same as the files that `make-scene` writes, without them. All videos
 * show the same place from the same point; the training videos are normal, the test videos have one or two things in them that are not.
 * @throws InputError as {@link createScene} does, and for counts that cannot be
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

/** Scenes of several seeds as one data set: streets that differ in all but where the camera hangs. */
export interface SceneCollectionOptions extends Omit<SceneDatasetOptions, "seed"> {
  /** Of the streets to learn from. */
  trainSeeds: readonly number[];
  /** Of the streets to be tested on. */
  testSeeds: readonly number[];
}

/**
 * Scenes of several seeds as one data set, `train` and `test` being the number of videos of each; see {@link sceneDataset}.
 * @throws InputError as it does
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
