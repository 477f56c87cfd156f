import type { Dataset } from "../../data/dataset.js";
import type { InputError } from "../../errors.js";
import type { Listing } from "./listing.js";

/** The names of the layouts that can be read. */
export type LayoutName = "avenue" | "shanghai" | "ubnormal" | "ped1" | "ped2" | "folder";

const authors = "train/frames/VIDEO/NUMBER.png and test/frames/VIDEO/NUMBER.png";
const ucsd = "Train/Train001/001.tif and Test/Test001/001.tif";

/** What each layout needs at least, for messages. */
export const lookedFor: Readonly<Record<LayoutName, string>> = {
  avenue: authors,
  shanghai: authors,
  ubnormal: "train/frames/VIDEO and test/frames/VIDEO, folders of frames or .mp4 files",
  ped1: `${ucsd}, or ${authors}`,
  ped2: `${ucsd}, or ${authors}`,
  folder: "train/ and test/ with folders of frames or video files in them, in frames/ or in videos/",
};

export interface OpenDatasetOptions {
  /** The layout; default: found by the folder's name and what lies in it. */
  layout?: string;
  /** The folder with `<video>.txt` for the test videos, where it is none of those that are looked at by themselves. */
  labels?: string;
  /** Takes what is wrong with single videos, which are then left out; default: the first one is thrown. */
  onFault?: (fault: InputError) => void;
}

/** The folder that a data set is in. */
export interface Root extends Listing {
  path: string;
  /** Its own name, which may tell the data set. */
  name: string;
}

/** One way to lay out a data set on disk. */
export interface Layout {
  readonly name: LayoutName;
  /** Whether a folder looks like it. */
  recognises(root: Root): Promise<boolean>;
  open(root: Root, options: OpenDatasetOptions): Promise<Dataset>;
}
