import { join, resolve } from "node:path";
import { checkLabelCount, type Dataset, type DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { openFrameFolder } from "../media/frame_folder.js";
import { type Clip, findClips, gapNote } from "./clip.js";
import { readLabels } from "./labels_file.js";
import { type LayoutName, lookedFor, type OpenDatasetOptions, type Root } from "./layout.js";
import { listFolder, namesInShort, naturalOrder } from "./listing.js";
import { maskReader } from "./mask_images.js";
import { readTracks } from "./tracks_file.js";

export type Split = "train" | "test";

/** Where videos are looked for inside of a split; without either, right in it. */
const FRAME_PLACES = ["frames", "videos"];
/** Where `<video>.txt` with labels is looked for inside of a split, and for the test videos in the root as well; the first place that has one counts. */
const LABEL_PLACES = ["labels", "gt", "ground_truth"];
const MASKS = "masks";
const TRACKS = "tracks";
const ABNORMAL = "frames_abnormal";
const ABNORMAL_MASKS = "masks_abnormal";
/** What else the authors' code puts into a split, and what it is. */
const BESIDE: Readonly<Record<string, string>> = {
  gradients2: "motion gradients, which are not needed: they are computed",
  [ABNORMAL]: "frames with synthetic anomalies",
  [ABNORMAL_MASKS]: "masks of synthetic anomalies",
};
const NO_VIDEOS = new Set([...FRAME_PLACES, ...LABEL_PLACES, MASKS, TRACKS, "annotations", ...Object.keys(BESIDE)]);

/** What the readers of one data set share: whom to tell what. */
export interface Findings {
  notes: string[];
  faults: number;
  onFault: (fault: InputError) => void;
}

/**
 * The layout of the authors' repository (docs/method.md §7): `{train,test}/frames/<video>/<number>.png`, labels `<video>.txt` in test/labels, test/gt,
 * test/ground_truth, labels, gt or ground_truth, pixel masks `test/masks/<video>/<number>.png`, tracks `test/tracks/<video>.txt`.
 * Videos may be files as well, and may lie in `videos/` or right in the split, labels beside them.
 * @throws InputError where no video is found, or for a video whose files are at fault
 */
export async function openOriginal(layout: LayoutName, root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  const findings = startFindings(root, options);
  const splits = {} as Record<Split, DatasetVideo[]>;
  for (const split of ["train", "test"] as const) {
    const clips = await findSplit(root, split, findings);
    splits[split] = await withTruth(root, split, clips, findings, split === "test" ? options.labels : undefined);
  }
  return finishDataset(layout, root, splits, findings);
}

export function startFindings(root: Root, { onFault }: OpenDatasetOptions): Findings {
  const findings: Findings = {
    notes: root.broken.length > 0 ? [`links that lead nowhere: ${namesInShort(root.broken)}`] : [],
    faults: 0,
    onFault: (fault) => {
      findings.faults++;
      if (!onFault) throw fault;
      onFault(fault);
    },
  };
  return findings;
}

/** @throws InputError for a data set without any video, unless faults tell why */
export function finishDataset(
  layout: LayoutName,
  root: Root,
  { train, test }: Record<Split, DatasetVideo[]>,
  { notes, faults }: Findings,
): Dataset {
  if (train.length + test.length + faults === 0) {
    throw new InputError(
      `${oneLine(root.path)} holds no video of the layout "${layout}"; looked for ${lookedFor[layout]}`,
    );
  }
  return { layout, root: root.path, train, test, notes };
}

/** The videos of a split, sorted by name. */
export async function findSplit(root: Root, split: string, { notes, onFault }: Findings): Promise<Clip[]> {
  const listing = await listFolder(join(root.path, split));
  if (!listing) {
    notes.push(`there is no ${split}/`);
    return [];
  }
  const places = FRAME_PLACES.filter((place) => listing.folders.includes(place));
  const clips: Clip[] = [];
  for (const place of places.length > 0 ? places : [""]) {
    const found = await findClips(join(root.path, split, place), place === "" ? NO_VIDEOS : new Set(), onFault);
    for (const clip of found.clips) {
      const twin = clips.find((other) => other.name === clip.name);
      if (twin) onFault(new InputError(`${oneLine(clip.path)} and ${oneLine(twin.path)} are videos of one name`));
      else clips.push(clip);
    }
    const others = found.others.filter((name) => !name.endsWith(".txt"));
    if (others.length > 0) notes.push(`passed over in ${join(split, place)}: ${namesInShort(others)}`);
  }
  if (clips.length === 0) notes.push(`${split}/ holds no video`);
  for (const clip of clips) {
    const gap = gapNote(clip);
    if (gap) notes.push(`${split} ${oneLine(clip.name)}: ${gap}`);
  }
  for (const name of listing.folders.filter((folder) => Object.hasOwn(BESIDE, folder))) {
    notes.push(`${split}/${name} is there: ${BESIDE[name]}`);
  }
  return clips.sort((a, b) => naturalOrder(a.name, b.name));
}

/** Adds the ground truth that lies beside the videos. */
async function withTruth(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  { notes }: Findings,
  labelFolder: string | undefined,
): Promise<DatasetVideo[]> {
  const labels = await findLabels(root, split, clips, labelFolder);
  const masks = new Set((await listFolder(join(root.path, split, MASKS)))?.folders);
  const tracks = new Set((await listFolder(join(root.path, split, TRACKS)))?.files);
  const [abnormal, abnormalMasks] = await Promise.all(
    [ABNORMAL, ABNORMAL_MASKS].map(async (name) => new Set((await listFolder(join(root.path, split, name)))?.folders)),
  );

  const lacking = clips.filter((clip) => !labels.files.has(clip.name)).map((clip) => clip.name);
  if (split === "test" && lacking.length > 0) {
    const places = LABEL_PLACES.flatMap((place) => [`test/${place}`, place]).join(", ");
    const where = labels.files.size > 0 ? "" : ` (looked for VIDEO.txt in ${places})`;
    notes.push(`test: no labels for ${namesInShort(lacking)}${where}`);
  }
  const strangers = labels.others.map((name) => name.replace(/\.txt$/, ""));
  if (strangers.length > 0) notes.push(`${split}: labels for ${namesInShort(strangers)}, which are no videos here`);
  for (const [what, names] of Object.entries({ masks, tracks })) {
    const without = clips.filter(({ name }) => !names.has(what === "masks" ? name : `${name}.txt`));
    if (names.size > 0 && without.length > 0) {
      notes.push(`${split}: no ${what} for ${namesInShort(without.map((clip) => clip.name))}`);
    }
  }

  return clips.map((clip) => {
    const { name, path, frameCount, open } = clip;
    const labelFile = labels.files.get(name);
    const tracksFile = join(root.path, split, TRACKS, `${name}.txt`);
    return {
      name,
      path,
      ...(frameCount === undefined ? {} : { frameCount }),
      open,
      ...(labelFile === undefined ? {} : { labels: () => labelsOf(labelFile, clip) }),
      ...(masks.has(name) ? { mask: maskReader(join(root.path, split, MASKS, name), clip) } : {}),
      ...(tracks.has(`${name}.txt`) ? { tracks: () => readTracks(tracksFile, clip) } : {}),
      ...(abnormal?.has(name) && abnormalMasks?.has(name)
        ? {
            abnormal: {
              frames: () => openFrameFolder(join(root.path, split, ABNORMAL, name)),
              masks: () => openFrameFolder(join(root.path, split, ABNORMAL_MASKS, name)),
            },
          }
        : {}),
    };
  });
}

async function labelsOf(path: string, { frameCount }: Clip): Promise<Uint8Array> {
  const labels = await readLabels(path);
  if (frameCount !== undefined) checkLabelCount(oneLine(path), labels, frameCount);
  return labels;
}

/** Label files by the videos' names, and those of the same folder that belong to none. */
async function findLabels(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  folder: string | undefined,
): Promise<{ files: Map<string, string>; others: string[] }> {
  if (folder !== undefined) {
    const found = await labelsIn(resolve(folder), clips);
    if (!found) throw new InputError(`${oneLine(folder)}, the folder of the labels, is no folder`);
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
  // Beside the videos: text files of other names are no labels.
  const files = new Map<string, string>();
  for (const place of new Set(clips.map((clip) => join(clip.path, "..")))) {
    for (const [name, file] of (await labelsIn(place, clips))?.files ?? []) files.set(name, file);
  }
  return { files, others: [] };
}

async function labelsIn(folder: string, clips: readonly Clip[]) {
  const listing = await listFolder(folder);
  if (!listing) return undefined;
  const files = new Map<string, string>();
  const others = new Set(listing.files.filter((name) => name.endsWith(".txt")));
  for (const { name } of clips) if (others.delete(`${name}.txt`)) files.set(name, join(folder, `${name}.txt`));
  return { files, others: [...others] };
}
