// Finds the label files of a split's videos.
import { join, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import type { Clip } from "./clip.js";
import type { Root, Split } from "./layout.js";
import { listFolder } from "./listing.js";
import { LABEL_PLACES } from "./splits.js";

/** The places where the labels of test videos are looked for, for messages. */
export const testLabelPlaces = LABEL_PLACES.flatMap((place) => [`test/${place}`, place]).join(", ");

/** The label files of a folder. */
export interface LabelFiles {
  /** Paths by the videos' names. */
  files: Map<string, string>;
  /** Names of text files that belong to no video. */
  others: string[];
}

/**
 * Finds the label files of a split's videos: in `folder` if it is given; else in the first of the
 * usual places that has one; else beside the videos.
 * @throws InputError if `folder` is not a folder, or has no labels of these videos
 */
export async function findLabels(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  folder: string | undefined,
): Promise<LabelFiles> {
  if (folder !== undefined) {
    const found = await labelsIn(resolve(folder), clips);
    if (!found) throw new InputError(`${oneLine(folder)}, the folder of the labels, is not a folder`);
    if (found.files.size === 0) {
      const first = clips[0] ? `, such as ${oneLine(clips[0].name)}.txt` : "";
      throw new InputError(`${oneLine(folder)} holds no labels of a test video${first}`);
    }
    return found;
  }
  const places = LABEL_PLACES.map((place) => join(root.path, split, place));
  if (split === "test") places.push(...LABEL_PLACES.map((place) => join(root.path, place)));
  for (const place of places) {
    const found = await labelsIn(place, clips);
    if (found && found.files.size > 0) return found;
  }
  // Beside the videos, text files of other names are not labels.
  const files = new Map<string, string>();
  for (const place of new Set(clips.map((clip) => join(clip.path, "..")))) {
    for (const [name, file] of (await labelsIn(place, clips))?.files ?? []) files.set(name, file);
  }
  return { files, others: [] };
}

/** Undefined if there is no such folder. */
async function labelsIn(folder: string, clips: readonly Clip[]): Promise<LabelFiles | undefined> {
  const listing = await listFolder(folder);
  if (!listing) return undefined;
  const files = new Map<string, string>();
  const others = new Set(listing.files.filter((name) => name.endsWith(".txt")));
  for (const { name } of clips) if (others.delete(`${name}.txt`)) files.set(name, join(folder, `${name}.txt`));
  return { files, others: [...others] };
}
