import { join } from "node:path";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type Clip, findClips } from "./clip.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import { type Layout, type OpenDatasetOptions, type Root, type Split, splitName } from "./layout.js";
import { type Listing, listFolder, namesInShort, naturalOrder } from "./listing.js";
import { ObjectTruth } from "./object_truth.js";
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
 * Annotations are maps `…<frame>_gt.png` whose pixels are numbers of objects, and
 * `<video>_tracks.txt`, there or one folder above.
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
    const { folder, clips } = await findSplit(root, split, findings);
    const annotations = join(root.path, folder, "annotations");
    const listing = await listFolder(annotations);
    if (!listing && clips.length > 0)
      findings.notes.push(`${split}: no labels, masks or tracks (looked for ${folder}/annotations)`);
    if (!listing) return clips.map(plain);
    return withTruth(split, clips, () => annotations, findings);
  };
  const train = await open("train");
  const test = await open("test");
  if (root.folders.includes("validation")) findings.notes.push("validation/ is not read");
  return finishDataset("ubnormal", root, { train, test }, findings);
}

/** The videos of UBnormal as distributed, by what they are for. */
export interface DistributedVideos {
  /** Normal videos to train on. */
  train: Clip[];
  /** Abnormal videos for training: objects are cut out of them. */
  abnormal: Clip[];
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
  const videos: DistributedVideos = { train: [], abnormal: [], test: [] };
  let validation = 0;
  const unknown: string[] = [];
  for (const scene of scenesOf(root)) {
    const path = join(root.path, scene);
    const { folders = [] } = (await listFolder(path)) ?? {};
    const found = await findClips(path, new Set(folders.filter((name) => !isClipFolder(name))), onFault);
    for (const clip of found.clips) {
      const part = split.get(clip.name);
      if (part === undefined) unknown.push(clip.name);
      if (part === "validation") validation++;
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
  if (validation > 0) notes.push(`not read: ${counted(validation)}, which the published split keeps for validation`);
  return videos;
}

/** A folder of frames, not of annotations. */
const isClipFolder = (name: string) => VIDEO_NAME.test(name) && !/_annotations$/i.test(name);

async function openDistributed(root: Root, findings: Findings): Promise<Dataset> {
  const { train = [], abnormal = [], test = [] } = (await distributedVideos(root, findings)) ?? {};
  if (abnormal.length > 0) {
    findings.notes.push(
      `not trained on, because abnormal: ${counted(abnormal.length)} of the training split; create-anomalies ubnormal cuts objects out of them`,
    );
  }
  if (train.length === 0) findings.notes.push("train: no normal video of the published split is here");
  if (test.length === 0) findings.notes.push("test: no test video of the published split is here");
  const splits = {
    train: await withTruth("train", train, besideClip, findings, true),
    test: await withTruth("test", test, besideClip, findings, true),
  };
  return finishDataset("ubnormal", root, splits, findings, root.path);
}

const counted = (videos: number) => `${videos} video${videos === 1 ? "" : "s"}`;

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
    const tracksName = `${name}_tracks.txt`;
    const own = await listFolder(folder);
    const inside = own?.files.includes(tracksName);
    const tracksFile = inside ? join(folder, tracksName) : join(annotations, tracksName);
    const hasTracks = isAbnormal(name) && (inside || (await listFolder(annotations))?.files.includes(tracksName));
    if (isAbnormal(name) && !hasTracks) {
      trackless.push(name);
      if (isStrict) {
        videos.push(plain(clip));
        continue;
      }
    }
    const hasMaps = !hasTracks || own?.files.some((file) => /_gt\.png$/i.test(file));
    if (!hasMaps) mapless.push(name);
    const truth = new ObjectTruth(clip, hasTracks ? tracksFile : undefined, folder);
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
