// The two splits of the authors' layout: where their files are, and which videos they have.
import { join, parse } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { type Clip, findClips, gapNote } from "./clip.js";
import type { Findings } from "./findings.js";
import { type Root, type Split, splitName } from "./layout.js";
import { listFolder, nameKey, naturalOrder } from "./listing.js";
import { LABEL_ENDINGS } from "./truth_file.js";

/** Folders of a split for videos; if it has neither, videos are looked for in the split itself. */
const FRAME_PLACES = ["frames", "videos"];
/** Folders for labels: in a split, and for the test videos in the root too. */
export const LABEL_PLACES = ["labels", "gt", "ground_truth", "test_frame_mask"];
/** Folders for pixel masks, in a split. ShanghaiTech's is the longer name. */
export const MASK_PLACES = ["masks", "test_pixel_mask"];
export const TRACKS = "tracks";
/** Frames with synthetic anomalies, for training, and their masks. */
export const ABNORMAL = "frames_abnormal";
export const ABNORMAL_MASKS = "masks_abnormal";
/** Other folders that the authors' code puts into a split, and what they are. */
const BESIDE: Readonly<Record<string, string>> = {
  gradients2: "motion gradients, which are computed here and not read",
  [ABNORMAL]: "frames with synthetic anomalies",
  [ABNORMAL_MASKS]: "masks of synthetic anomalies",
};
const NO_VIDEOS = new Set([
  ...FRAME_PLACES,
  ...LABEL_PLACES,
  ...MASK_PLACES,
  TRACKS,
  "annotations",
  ...Object.keys(BESIDE),
]);

/** A split's folder and its videos. */
export interface SplitClips {
  /** The folder's name in the root; that of the authors' layout if there is none. */
  folder: string;
  /** Sorted by name. */
  clips: Clip[];
}

/** The videos of a split. @throws InputError if a folder cannot be read */
export async function findSplit(root: Root, which: Split, { notes, onFault }: Findings): Promise<SplitClips> {
  const split = splitName(root, which) ?? which;
  const listing = await listFolder(join(root.path, split));
  if (!listing) {
    notes.push(`there is no ${split}/`);
    return { folder: split, clips: [] };
  }
  const places = FRAME_PLACES.filter((place) => listing.folders.includes(place));
  const clips: Clip[] = [];
  for (const place of places.length > 0 ? places : [""]) {
    const found = await findClips(join(root.path, split, place), place === "" ? NO_VIDEOS : new Set(), onFault);
    for (const clip of found.clips) {
      const twin = clips.find((other) => nameKey(other.name) === nameKey(clip.name));
      if (twin) onFault(new InputError(`${oneLine(clip.path)} and ${oneLine(twin.path)} are videos of one name`));
      else clips.push(clip);
    }
    // Labels may lie beside the videos.
    const others = found.others.filter((name) => !LABEL_ENDINGS.includes(parse(name).ext.toLowerCase()));
    if (others.length > 0) notes.push(`ignored in ${join(split, place)}: ${namesInShort(others)}`);
  }
  if (clips.length === 0) notes.push(`${split}/ holds no video`);
  for (const clip of clips) {
    const gap = gapNote(clip);
    if (gap) notes.push(`${split} ${oneLine(clip.name)}: ${gap}`);
  }
  for (const name of listing.folders.filter((folder) => Object.hasOwn(BESIDE, folder))) {
    notes.push(`${split}/${name} is there: ${BESIDE[name]}`);
  }
  return { folder: split, clips: clips.sort((a, b) => naturalOrder(a.name, b.name)) };
}
