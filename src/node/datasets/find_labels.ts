// Finds the label files of a split's videos.
import { join, parse, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import type { Clip } from "./clip.js";
import { listFolder, nameKey } from "./listing.js";
import { LABEL_ENDINGS } from "./truth_file.js";

/** The label files of a folder. */
export interface LabelFiles {
  /** Paths by the videos' names. */
  files: Map<string, string>;
  /** Names of label files that belong to no video, beside others that do. */
  others: string[];
  /** A folder for labels in which no file fits a video, and what it holds. */
  misfit?: { folder: string; names: string[] };
}

/**
 * Finds the label files of videos: in `given` if that is a folder; else in the first of `places`
 * that has one; else beside the videos.
 * @throws InputError if `given` is not a folder, or has no labels of these videos
 */
export async function findLabels(
  clips: readonly Clip[],
  places: readonly string[],
  given: string | undefined,
): Promise<LabelFiles> {
  if (given !== undefined) {
    const found = await labelsIn(resolve(given), clips);
    if (!found) throw new InputError(`${oneLine(given)}, the folder of the labels, is not a folder`);
    if (found.files.size === 0) {
      const first = clips[0] ? `, such as ${oneLine(clips[0].name)}.txt` : "";
      const there = found.misfit ? `; it holds ${namesInShort(found.misfit.names)}` : "";
      throw new InputError(`${oneLine(given)} holds no labels of a test video${first}${there}`);
    }
    return found;
  }
  let misfit: LabelFiles["misfit"];
  for (const place of places) {
    const found = await labelsIn(place, clips);
    if (found && found.files.size > 0) return found;
    misfit ??= found?.misfit;
  }
  // Beside the videos, files of other names are not labels.
  const files = new Map<string, string>();
  for (const place of new Set(clips.map((clip) => join(clip.path, "..")))) {
    for (const [name, file] of (await labelsIn(place, clips))?.files ?? []) files.set(name, file);
  }
  return { files, others: [], ...(files.size === 0 && misfit && { misfit }) };
}

/** Undefined if there is no such folder. */
async function labelsIn(folder: string, clips: readonly Clip[]): Promise<LabelFiles | undefined> {
  const listing = await listFolder(folder);
  if (!listing) return undefined;
  const left = new Set(listing.files);
  const files = new Map<string, string>();
  for (const { name } of clips) {
    const names = [...left].filter((file) => isLabelsOf(file, name));
    names.sort((a, b) => LABEL_ENDINGS.indexOf(ending(a)) - LABEL_ENDINGS.indexOf(ending(b)));
    if (names.length > 0) files.set(name, join(folder, names[0]));
    // Another file for the same video is not one for a video that is missing.
    for (const file of names) left.delete(file);
  }
  const names = [...left, ...listing.unreadable];
  const others = names.filter((file) => LABEL_ENDINGS.includes(ending(file)));
  return { files, others, ...(files.size === 0 && names.length > 0 && { misfit: { folder, names } }) };
}

const ending = (file: string) => parse(file).ext.toLowerCase();

/** Whether a file has the labels of a video: by its name, or as Avenue's `1_label.mat` of "01". */
function isLabelsOf(file: string, video: string): boolean {
  const number = /^0*(\d+)_label\.mat$/i.exec(file)?.[1];
  if (number !== undefined && number === /^0*(\d+)$/.exec(video)?.[1]) return true;
  return LABEL_ENDINGS.includes(ending(file)) && nameKey(parse(file).name) === nameKey(video);
}
