// The layout of the authors' repository, which most data sets have.
import { join } from "node:path";
import { checkLabelCount, type Dataset, type DatasetVideo } from "../../data/dataset.js";
import { oneLine } from "../files/messages.js";
import { openFrameFolder } from "../media/frame_folder.js";
import type { Clip } from "./clip.js";
import { findLabels, type LabelFiles, testLabelPlaces } from "./find_labels.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import { readLabels } from "./labels_file.js";
import type { LayoutName, OpenDatasetOptions, Root, Split } from "./layout.js";
import { listFolder, namesInShort } from "./listing.js";
import { maskReader } from "./mask_images.js";
import { ABNORMAL, ABNORMAL_MASKS, findSplit, MASKS, TRACKS } from "./splits.js";
import { readTracks } from "./tracks_file.js";

/**
 * Opens a data set in the layout of the authors' repository (docs/method.md §7):
 *
 * - frames in `{train,test}/frames/<video>/<number>.png`. Videos may be files too, and may lie in
 *   `videos/` or in the split itself;
 * - labels `<video>.txt` in `labels`, `gt` or `ground_truth` of test/ or of the root, or beside the
 *   videos;
 * - pixel masks `test/masks/<video>/<number>.png`, tracks `test/tracks/<video>.txt`.
 * @throws InputError if there is no video, or if something is wrong with one
 */
export async function openOriginal(layout: LayoutName, root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  const findings = startFindings(root, options);
  const open = async (split: Split, labels?: string) => {
    const clips = await findSplit(root, split, findings);
    return withTruth(root, split, clips, findings, labels);
  };
  const train = await open("train");
  const test = await open("test", options.labels);
  return finishDataset(layout, root, { train, test }, findings);
}

/** The ground truth of a split: label files, and names of videos in the other folders. */
interface Truth {
  labels: LabelFiles;
  masks: ReadonlySet<string>;
  /** Names of files. */
  tracks: ReadonlySet<string>;
  abnormal: ReadonlySet<string>;
  abnormalMasks: ReadonlySet<string>;
}

/** Adds the ground truth to the videos of a split. */
async function withTruth(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  { notes }: Findings,
  labelFolder: string | undefined,
): Promise<DatasetVideo[]> {
  const folder = join(root.path, split);
  const listing = (name: string) => listFolder(join(folder, name));
  const truth: Truth = {
    labels: await findLabels(root, split, clips, labelFolder),
    masks: new Set((await listing(MASKS))?.folders),
    tracks: new Set((await listing(TRACKS))?.files),
    abnormal: new Set((await listing(ABNORMAL))?.folders),
    abnormalMasks: new Set((await listing(ABNORMAL_MASKS))?.folders),
  };
  notes.push(...missingTruth(split, clips, truth));
  return clips.map((clip) => videoOf(folder, clip, truth));
}

/** Notes on the ground truth that is missing, and on labels that belong to no video. */
function missingTruth(split: Split, clips: readonly Clip[], { labels, masks, tracks }: Truth): string[] {
  const notes: string[] = [];
  const unlabelled = clips.filter((clip) => !labels.files.has(clip.name)).map((clip) => clip.name);
  if (split === "test" && unlabelled.length > 0) {
    const where = labels.files.size > 0 ? "" : ` (looked for VIDEO.txt in ${testLabelPlaces})`;
    notes.push(`test: no labels for ${namesInShort(unlabelled)}${where}`);
  }
  const strangers = labels.others.map((name) => name.replace(/\.txt$/, ""));
  if (strangers.length > 0) notes.push(`${split}: labels for ${namesInShort(strangers)}, which are not videos here`);
  for (const [what, names] of Object.entries({ masks, tracks })) {
    const without = clips.filter(({ name }) => !names.has(what === "masks" ? name : `${name}.txt`));
    if (names.size > 0 && without.length > 0) {
      notes.push(`${split}: no ${what} for ${namesInShort(without.map((clip) => clip.name))}`);
    }
  }
  return notes;
}

/** @param folder of the split */
function videoOf(folder: string, clip: Clip, { labels, masks, tracks, abnormal, abnormalMasks }: Truth): DatasetVideo {
  const { name, path, frameCount, open } = clip;
  const labelFile = labels.files.get(name);
  return {
    name,
    path,
    ...(frameCount === undefined ? {} : { frameCount }),
    open,
    ...(labelFile === undefined ? {} : { labels: () => labelsOf(labelFile, clip) }),
    ...(masks.has(name) ? { mask: maskReader(join(folder, MASKS, name), clip) } : {}),
    ...(tracks.has(`${name}.txt`) ? { tracks: () => readTracks(join(folder, TRACKS, `${name}.txt`), clip) } : {}),
    ...(abnormal.has(name) && abnormalMasks.has(name)
      ? {
          abnormal: {
            frames: () => openFrameFolder(join(folder, ABNORMAL, name)),
            masks: () => openFrameFolder(join(folder, ABNORMAL_MASKS, name)),
          },
        }
      : {}),
  };
}

async function labelsOf(path: string, { frameCount }: Clip): Promise<Uint8Array> {
  const labels = await readLabels(path);
  if (frameCount !== undefined) checkLabelCount(oneLine(path), labels, frameCount);
  return labels;
}
