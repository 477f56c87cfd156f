// Training sets in memory, and videos of noise.
import type { Dataset, DatasetVideo } from "../../src/data/dataset.js";
import { fromIterable } from "../../src/data/frame.js";
import type { Size } from "../../src/ops/resize.js";
import { MemoryArchive } from "../../src/train/frame_archive.js";
import { type ForegroundOptions, type LoadOptions, TrainingSet } from "../../src/train/training_set.js";
import type { Random } from "./numbers.js";

/** A video of noise, with these frame numbers. */
export function noise(random: Random, name: string, { width, height }: Size, numbers: readonly number[]) {
  const frames = numbers.map((number) => ({ data: random.bytes(width * height * 3), number }));
  const open = async () => fromIterable(() => frames, { width, height, name });
  return { frames, size: { width, height }, video: { name, path: name, frameCount: numbers.length, open } };
}

/** A data set to train on. */
export function datasetOf(train: DatasetVideo[]): Dataset {
  return { layout: "folder", root: "noise", train, test: [], notes: [] };
}

/** The training set of these videos, in memory; by default without anomalies. */
export async function loadSet(train: DatasetVideo[], options: Partial<LoadOptions & ForegroundOptions> = {}) {
  const set = await TrainingSet.load(datasetOf(train), { archive: new MemoryArchive(), anomalies: "none", ...options });
  if (options.anomalies === "pseudo") await set.findForeground(options);
  return set;
}
