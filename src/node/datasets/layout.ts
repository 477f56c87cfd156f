// What a layout of a data set on disk is, and the options for opening one.
import type { Dataset } from "../../data/dataset.js";
import type { InputError } from "../../errors.js";
import type { Listing } from "./listing.js";

/** The names of the layouts that can be read. */
export type LayoutName = "avenue" | "shanghai" | "ubnormal" | "ped1" | "ped2" | "folder";

/** Names of the splits' folders; ShanghaiTech's are the longer ones, the last is UBnormal's. */
export const SPLIT_NAMES = {
  train: ["train", "training"],
  test: ["test", "testing"],
  validation: ["validation", "val"],
} as const;

const authors = "train/frames/VIDEO/NUMBER.png and test/frames/VIDEO/NUMBER.png";
const ucsd = "Train/Train001/001.tif and Test/Test001/001.tif";

/** The least that each layout needs, for messages. */
export const lookedFor: Readonly<Record<LayoutName, string>> = {
  avenue: `training_videos/01.avi and testing_videos/01.avi, or ${authors}`,
  shanghai: `training/videos/01_001.avi and testing/frames/01_0014/000.jpg, or ${authors}`,
  ubnormal: "Scene1/VIDEO.mp4, or train/frames/VIDEO and test/frames/VIDEO, folders of frames or .mp4 files",
  ped1: `${ucsd}, or ${authors}`,
  ped2: `${ucsd}, or ${authors}`,
  folder:
    "train/ and test/ with folders of frames or video files in them, in frames/ or in videos/; or normal videos alone",
};

export type Split = keyof typeof SPLIT_NAMES;

/** How a data set is opened. */
export interface OpenDatasetOptions {
  /** The layout; default: recognised by the folder's name and content. */
  layout?: string;
  /**
   * The folder with the labels of the test videos, `<video>.txt`, `.csv`, `.npy` or `.mat`;
   * default: where the layout has them.
   */
  labels?: string;
  /**
   * Receives what is wrong with single videos, which are then left out; default: the first fault is
   * thrown.
   */
  onFault?: (fault: InputError) => void;
}

/** The folder of a data set. */
export interface Root extends Listing {
  path: string;
  /** The last part of the path, which may name the data set. */
  name: string;
}

/** One way to lay out a data set on disk. */
export interface Layout {
  readonly name: LayoutName;
  /** Whether a folder holds the data set as it is distributed, without `train/` and `test/`. */
  isDistributed?(root: Root): Promise<boolean>;
  /** Whether a folder with `train/` and `test/` seems to have this layout. */
  recognises(root: Root): Promise<boolean>;
  /** @throws InputError if there is no video, or if something is wrong with one */
  open(root: Root, options: OpenDatasetOptions): Promise<Dataset>;
}

/** The name of a split's folder in the root, such as "training"; in capitals or not. */
export function splitName({ folders }: Listing, split: Split): string | undefined {
  const names: readonly string[] = SPLIT_NAMES[split];
  return names.find((name) => folders.includes(name)) ?? folders.find((name) => names.includes(name.toLowerCase()));
}
