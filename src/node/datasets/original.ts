// The layout of the authors' repository, which most data sets have.
import { basename, dirname, join, parse, relative } from "node:path";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { openFrameFolder } from "../media/frame_folder.js";
import type { Clip } from "./clip.js";
import { findLabels, type LabelFiles } from "./find_labels.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import type { LayoutName, OpenDatasetOptions, Root, Split } from "./layout.js";
import { listFolder, nameKey } from "./listing.js";
import { maskReader } from "./mask_images.js";
import { ABNORMAL, ABNORMAL_MASKS, findSplit, LABEL_PLACES, MASK_PLACES, type SplitClips, TRACKS } from "./splits.js";
import { readTracks } from "./tracks_file.js";
import { holdsMasks, MASK_ENDINGS, maskFileReader, readLabels } from "./truth_file.js";

/**
 * Opens a data set in the layout of the authors' repository (docs/method.md §7), or in
 * ShanghaiTech's, which differs in names only:
 *
 * - frames in `{train,test}/frames/<video>/<number>.png`. Videos may be files too, and may lie in
 *   `videos/` or in the split itself, which may be called `training` or `testing`;
 * - labels `<video>.txt`, `.csv`, `.npy` or `.mat` in `labels`, `gt`, `ground_truth` or
 *   `test_frame_mask` of test/ or of the root, or beside the videos;
 * - pixel masks in `masks` or `test_pixel_mask` of test/: `<video>/<number>.png`, `<video>.npy` or
 *   `<video>.mat`; tracks `test/tracks/<video>.txt`.
 * @throws InputError if there is no video, or if something is wrong with one
 */
export async function openOriginal(layout: LayoutName, root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  const findings = startFindings(root, options);
  const train = await findSplit(root, "train", findings);
  const test = await findSplit(root, "test", findings);
  const labelPlaces = ({ folder }: SplitClips) => LABEL_PLACES.map((place) => join(root.path, folder, place));
  const testPlaces = labelPlaces(test).flatMap((place) => [place, join(root.path, basename(place))]);
  const splits = {
    train: await withTruth(
      root,
      "train",
      train,
      findings,
      await findLabels(train.clips, labelPlaces(train), undefined),
    ),
    test: await withTruth(root, "test", test, findings, await findLabels(test.clips, testPlaces, options.labels)),
  };
  const trainFolder = train.folder === "train" ? undefined : join(root.path, train.folder);
  return finishDataset(layout, root, splits, findings, trainFolder);
}

/** The ground truth of a split: files and folders by the videos' names, in NFC. */
export interface Truth {
  /** By the names as they are. */
  labels: LabelFiles;
  /** Folders of images, or files. */
  masks: ReadonlyMap<string, string>;
  tracks: ReadonlyMap<string, string>;
  abnormal: ReadonlyMap<string, string>;
  abnormalMasks: ReadonlyMap<string, string>;
}

/** Adds the ground truth to the videos of a split. */
async function withTruth(
  root: Root,
  split: Split,
  { folder, clips }: SplitClips,
  { notes }: Findings,
  labels: LabelFiles,
): Promise<DatasetVideo[]> {
  const path = join(root.path, folder);
  const masks = new Map<string, string>();
  for (const place of MASK_PLACES) {
    for (const [name, mask] of await entriesOf(join(path, place), MASK_ENDINGS)) masks.set(name, mask);
    for (const [name, mask] of await entriesOf(join(path, place))) masks.set(name, mask);
  }
  const truth: Truth = {
    labels,
    masks,
    tracks: await entriesOf(join(path, TRACKS), [".txt"]),
    ...(await syntheticIn(path)),
  };
  notes.push(...missingTruth(root, split, folder, clips, truth));
  return Promise.all(clips.map((clip) => videoOf(clip, truth)));
}

/** Frames with synthetic anomalies, and their masks: folders by the videos' names, in NFC. */
export type Synthetic = Pick<Truth, "abnormal" | "abnormalMasks">;

/** Folders with synthetic anomalies. @param folder of the training split */
export async function syntheticIn(folder: string): Promise<Synthetic> {
  return {
    abnormal: await entriesOf(join(folder, ABNORMAL)),
    abnormalMasks: await entriesOf(join(folder, ABNORMAL_MASKS)),
  };
}

/** A video with synthetic anomalies, if there are any of it. */
export function abnormalOf(name: string, synthetic: Synthetic): Pick<DatasetVideo, "abnormal"> {
  const [frames, masks] = [synthetic.abnormal, synthetic.abnormalMasks].map((all) => all.get(nameKey(name)));
  if (frames === undefined || masks === undefined) return {};
  return { abnormal: { frames: () => openFrameFolder(frames), masks: () => openFrameFolder(masks) } };
}

/**
 * Paths of a folder's sub-folders, or of its files with one of some endings, by name without it.
 */
async function entriesOf(folder: string, endings?: readonly string[]): Promise<Map<string, string>> {
  const listing = await listFolder(folder);
  const names = endings ? listing?.files.filter((name) => endings.includes(parse(name).ext)) : listing?.folders;
  const key = (name: string) => nameKey(endings ? parse(name).name : name);
  return new Map(names?.map((name) => [key(name), join(folder, name)]));
}

/**
 * Notes on the ground truth that is missing, and on files of ground truth that belong to no video.
 */
function missingTruth(
  root: Root,
  split: Split,
  folder: string,
  clips: readonly Clip[],
  { labels, masks, tracks }: Truth,
): string[] {
  const notes: string[] = [];
  const shownNames = (some: readonly Clip[]) => namesInShort(some.map((clip) => clip.name));
  const unlabelled = clips.filter((clip) => !labels.files.has(clip.name));
  if (split === "test" && unlabelled.length > 0) {
    const where = labels.files.size > 0 ? "" : ` (looked for VIDEO.txt, .csv, .npy or .mat in ${placesOf(folder)})`;
    notes.push(`test: no labels for ${shownNames(unlabelled)}${where}`);
  }
  if (labels.misfit && clips.length > 0) notes.push(misfitNote(root, labels.misfit, clips[0]));
  const strangers = labels.files.size === 0 ? [] : labels.others.map((name) => parse(name).name);
  if (strangers.length > 0) notes.push(`${split}: labels for ${namesInShort(strangers)}, which are not videos here`);
  for (const [what, paths] of Object.entries({ masks, tracks })) {
    const without = clips.filter(({ name }) => !paths.has(nameKey(name)));
    if (paths.size > 0 && without.length > 0) notes.push(`${split}: no ${what} for ${shownNames(without)}`);
    const [first] = paths.values();
    if (first !== undefined && without.length === clips.length && clips.length > 0) {
      const names = [...paths.values()].map((path) => basename(path));
      notes.push(`${relative(root.path, dirname(first))} holds ${namesInShort(names)}, which fit no video`);
    }
  }
  return notes;
}

const placesOf = (folder: string) => LABEL_PLACES.flatMap((place) => [`${folder}/${place}`, place]).join(", ");

/** Says what lies where labels belong, if none of it fits a video. */
export function misfitNote(root: Root, { folder, names }: NonNullable<LabelFiles["misfit"]>, clip: Clip): string {
  const misfit = names.length > 1 ? "which fit no video" : "which fits no video";
  return (
    `${oneLine(relative(root.path, folder))} holds ${namesInShort(names)}, ${misfit}: ` +
    `a label file has its video's name, such as ${oneLine(clip.name)}.txt`
  );
}

/** A video with what ground truth it has. */
export async function videoOf(clip: Clip, truth: Truth): Promise<DatasetVideo> {
  const { name, path, frameCount, open } = clip;
  const key = nameKey(name);
  const labelFile = truth.labels.files.get(name);
  const masks = truth.masks.get(key) ?? (await masksIn(labelFile));
  const tracks = truth.tracks.get(key);
  return {
    name,
    path,
    ...(frameCount === undefined ? {} : { frameCount }),
    open,
    ...(labelFile === undefined ? {} : { labels: () => readLabels(labelFile, clip) }),
    ...(masks === undefined ? {} : { mask: isMaskFile(masks) ? maskFileReader(masks, clip) : maskReader(masks, clip) }),
    ...(tracks === undefined ? {} : { tracks: () => readTracks(tracks, clip) }),
    ...abnormalOf(name, truth),
  };
}

const isMaskFile = (path: string) => MASK_ENDINGS.includes(parse(path).ext);

/** A label file that holds masks: Avenue's, by its name; a .npy file, by its shape. */
async function masksIn(labelFile: string | undefined): Promise<string | undefined> {
  if (labelFile === undefined) return undefined;
  const isAvenue = /_label\.mat$/i.test(labelFile);
  return isAvenue || (/\.npy$/i.test(labelFile) && (await holdsMasks(labelFile))) ? labelFile : undefined;
}
