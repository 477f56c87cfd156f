// The layouts of UBnormal: as distributed, and that of docs/method.md §7; its annotations are the
// ground truth.

import { join } from "node:path";
import { counted } from "../../counted.js";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { type Clip, findClips } from "./clip.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import { type Layout, type OpenDatasetOptions, type Root, type Split, splitName } from "./layout.js";
import { type Listing, listFolder, naturalOrder } from "./listing.js";
import { ObjectTruth } from "./object_truth.js";
import { abnormalOf, syntheticIn } from "./original.js";
import { findSplit } from "./splits.js";
import { readSplit } from "./ubnormal_split.js";

/**
 * UBnormal (Acsintoae et al., CVPR 2022), recognised by its folders or the root's name.
 *
 * - As distributed: `Scene1/<video>.mp4` with `Scene1/<video>_annotations/` beside it; the
 *   published split says which videos are for training and which for tests.
 * - In the layout of docs/method.md §7: frames in `{train,test}/frames/<video>` or `<video>.mp4`,
 *   annotations in `{train,test}/annotations/<video>_annotations/`.
 *
 * Annotations are maps `…<frame>_gt.png` whose pixels are numbers of objects, `<video>_tracks.txt`,
 * and for some videos `<video>_new_tracks.txt`, there or one folder above.
 */
export const ubnormal: Layout = {
  name: "ubnormal",
  isDistributed: async (root) => {
    if (splitName(root, "train") !== undefined || splitName(root, "test") !== undefined) return false;
    const scenes = scenesOf(root);
    for (const scene of scenes) {
      const listing = await listFolder(join(root.path, scene));
      if (listing?.files.some(isVideo) || listing?.folders.some((name) => VIDEO_NAME.test(name))) return true;
    }
    return false;
  },
  recognises: async (root) => {
    if (/ubnormal/i.test(root.name)) return true;
    for (const split of ["train", "test"] as const) {
      const listing = await listFolder(join(root.path, splitName(root, split) ?? split, "annotations"));
      if (listing?.folders.some((name) => name.endsWith("_annotations"))) return true;
    }
    return false;
  },
  open: openUbnormal,
};

const VIDEO_NAME = /^(ab)?normal_scene_/i;
const isVideo = (name: string) => VIDEO_NAME.test(name) && /\.mp4$/i.test(name);
const scenesOf = ({ folders }: Listing) => folders.filter((name) => /^scene[-_ ]?\d+$/i.test(name));
const isAbnormal = (name: string) => name.includes("abnormal");

async function openUbnormal(root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  if (options.labels !== undefined) {
    throw new InputError(
      `the labels of ${oneLine(root.path)} come from its annotations: leave out ${oneLine(options.labels)}`,
    );
  }
  const findings = startFindings(root, options);
  if (await ubnormal.isDistributed?.(root)) return openDistributed(root, findings);
  const open = async (split: Split) => {
    const { folder, clips: all } = await findSplit(root, split, findings);
    const clips = split === "train" ? all.filter(({ name }) => !isAbnormal(name)) : all;
    leaveOut(all.length - clips.length, findings);
    const annotations = join(root.path, folder, "annotations");
    const listing = await listFolder(annotations);
    if (!listing && clips.length > 0)
      findings.notes.push(`${split}: no labels, masks or tracks (looked for ${folder}/annotations)`);
    if (!listing) return clips.map(plain);
    return withTruth(split, clips, () => annotations, findings);
  };
  const trainFolder = join(root.path, splitName(root, "train") ?? "train");
  const splits = { train: await withSynthetic(await open("train"), trainFolder), test: await open("test") };
  const hasValidation = splitName(root, "validation") !== undefined;
  const validation = hasValidation && { validation: await open("validation") };
  return finishDataset("ubnormal", root, { ...splits, ...validation }, findings, trainFolder);
}

/** The videos of UBnormal as distributed, by what they are for. */
export interface DistributedVideos {
  /** Normal videos to train on. */
  train: Clip[];
  /** Abnormal videos for training: objects are cut out of them. */
  abnormal: Clip[];
  validation: Clip[];
  test: Clip[];
}

/** The folder in which a clip's annotations lie. */
const besideClip = (clip: Clip) => join(clip.path, "..");

/**
 * The videos of UBnormal as distributed; undefined if the folder has another layout.
 * @throws InputError if a folder or a list of videos cannot be read
 */
export async function distributedVideos(
  root: Root,
  { notes, onFault }: Pick<Findings, "notes" | "onFault">,
): Promise<DistributedVideos | undefined> {
  if (!(await ubnormal.isDistributed?.(root))) return undefined;
  const split = await readSplit(root);
  const videos: DistributedVideos = { train: [], abnormal: [], validation: [], test: [] };
  const unknown: string[] = [];
  for (const scene of scenesOf(root)) {
    const path = join(root.path, scene);
    const { folders = [] } = (await listFolder(path)) ?? {};
    const found = await findClips(path, new Set(folders.filter((name) => !isClipFolder(name))), onFault);
    for (const clip of found.clips) {
      const part = split.get(clip.name);
      if (part === undefined) unknown.push(clip.name);
      if (part === "validation") videos.validation.push(clip);
      else if (part === "test" || (part === undefined && isAbnormal(clip.name))) videos.test.push(clip);
      else if (isAbnormal(clip.name)) videos.abnormal.push(clip);
      else videos.train.push(clip);
    }
  }
  for (const clips of Object.values(videos) as Clip[][]) clips.sort((a, b) => naturalOrder(a.name, b.name));
  if (unknown.length > 0) {
    notes.push(
      `not in the published split: ${namesInShort(unknown)}; normal ones are used for training, abnormal ones for tests`,
    );
  }
  return videos;
}

/** A folder of frames, not of annotations. */
const isClipFolder = (name: string) => VIDEO_NAME.test(name) && !/_annotations$/i.test(name);

async function openDistributed(root: Root, findings: Findings): Promise<Dataset> {
  const { train = [], abnormal = [], validation = [], test = [] } = (await distributedVideos(root, findings)) ?? {};
  leaveOut(abnormal.length, findings);
  if (train.length === 0) findings.notes.push("train: no normal video of the published split is here");
  if (test.length === 0) findings.notes.push("test: no test video of the published split is here");
  const splits = {
    train: await withSynthetic(await withTruth("train", train, besideClip, findings, true), root.path),
    test: await withTruth("test", test, besideClip, findings, true),
    ...(validation.length > 0 && {
      validation: await withTruth("validation", validation, besideClip, findings, true),
    }),
  };
  return finishDataset("ubnormal", root, splits, findings, root.path);
}

/** Counts the abnormal videos for training: the model learns from normal ones only. */
function leaveOut(count: number, findings: Findings): void {
  if (count === 0) return;
  findings.leftOut += count;
  findings.notes.push(
    `not trained on, because abnormal: ${counted(count, "video")} of the training split; ` +
      "create-anomalies ubnormal cuts objects out of them",
  );
}

/** Adds frames with synthetic anomalies. @param folder in which their folders lie */
async function withSynthetic(videos: readonly DatasetVideo[], folder: string): Promise<DatasetVideo[]> {
  const synthetic = await syntheticIn(folder);
  return videos.map((video) => ({ ...video, ...abnormalOf(video.name, synthetic) }));
}

function plain({ name, path, frameCount, open }: Clip): DatasetVideo {
  return { name, path, ...(frameCount === undefined ? {} : { frameCount }), open };
}

/**
 * Adds the ground truth to videos.
 * @param annotationsOf where a clip's annotations lie
 * @param isStrict abnormal videos without tracks have no ground truth, rather than normal frames
 */
async function withTruth(
  split: Split,
  clips: readonly Clip[],
  annotationsOf: (clip: Clip) => string,
  { notes }: Findings,
  isStrict = false,
): Promise<DatasetVideo[]> {
  const trackless: string[] = [];
  const mapless: string[] = [];
  const videos: DatasetVideo[] = [];
  for (const clip of clips) {
    const { name } = clip;
    const annotations = annotationsOf(clip);
    const folder = join(annotations, `${name}_annotations`);
    const own = await listFolder(folder);
    const around = await listFolder(annotations);
    const find = (file: string): string | undefined => {
      if (own?.files.includes(file)) return join(folder, file);
      return around?.files.includes(file) ? join(annotations, file) : undefined;
    };
    const tracks = isAbnormal(name) ? find(`${name}_tracks.txt`) : undefined;
    if (isAbnormal(name) && tracks === undefined) {
      trackless.push(name);
      if (isStrict) {
        videos.push(plain(clip));
        continue;
      }
    }
    const hasMaps = tracks === undefined || own?.files.some((file) => /_gt\.png$/i.test(file));
    if (!hasMaps) mapless.push(name);
    const files = tracks === undefined ? undefined : { tracks, corrected: find(`${name}_new_tracks.txt`) };
    const truth = new ObjectTruth(clip, files, folder);
    videos.push({
      ...plain(clip),
      labels: () => truth.labels(),
      ...(hasMaps && { mask: (frame: number) => truth.mask(frame), tracks: () => truth.tracks() }),
    });
  }
  if (trackless.length > 0) {
    const so = isStrict ? "no labels" : "all frames are taken as normal";
    notes.push(`${split}: no _tracks.txt, so ${so}: ${namesInShort(trackless)}`);
  }
  if (mapless.length > 0) notes.push(`${split}: labels only, without _gt.png images: ${namesInShort(mapless)}`);
  return videos;
}
