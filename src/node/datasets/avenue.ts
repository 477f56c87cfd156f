import { dirname, join, resolve } from "node:path";
import type { Dataset } from "../../data/dataset.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { type Clip, findClips } from "./clip.js";
import { findLabels } from "./find_labels.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import type { Layout, OpenDatasetOptions, Root } from "./layout.js";
import { type Listing, listFolder, naturalOrder } from "./listing.js";
import { misfitNote, openOriginal, syntheticIn, videoOf } from "./original.js";
import { LABEL_PLACES } from "./splits.js";

/**
 * CUHK Avenue (Lu et al., ICCV 2013), as distributed or laid out as the authors' code of SD-MAE
 * expects it; recognised by its folders, or by the root's name. As distributed:
 *
 * - `training_videos/01.avi` and `testing_videos/01.avi`, in the root or in "Avenue Dataset";
 * - `ground_truth_demo/testing_label_mask/1_label.mat`, in the root or beside it: a cell `volLabel`
 *   with a mask per frame.
 */
export const avenue: Layout = {
  name: "avenue",
  isDistributed: async (root) => (await videosFolder(root)) !== undefined,
  recognises: async ({ name }) => /avenue/i.test(name),
  open: async (root, options) => {
    const folder = await videosFolder(root);
    return folder === undefined ? openOriginal("avenue", root, options) : openDistributed(root, folder, options);
  },
};

const VIDEOS = { train: "training_videos", test: "testing_videos" } as const;
const TRUTH = "ground_truth_demo";
const MASKS = "testing_label_mask";

const child = ({ folders }: Listing, wanted: string) => folders.find((name) => name.toLowerCase() === wanted);
const holdsVideos = (listing: Listing) => Object.values(VIDEOS).some((name) => child(listing, name) !== undefined);

/**
 * The folder that holds training_videos/ or testing_videos/: the root, or "Avenue Dataset" in it.
 */
async function videosFolder(root: Root): Promise<string | undefined> {
  if (holdsVideos(root)) return root.path;
  // A folder of downloads holds other data sets too.
  if (!/avenue/i.test(root.name) && child(root, TRUTH) === undefined) return undefined;
  for (const name of root.folders) {
    // The ground truth comes with a program that has a testing_videos/ of its own.
    if (name.toLowerCase() === TRUTH) continue;
    const listing = await listFolder(join(root.path, name));
    if (listing && holdsVideos(listing)) return join(root.path, name);
  }
  return undefined;
}

async function openDistributed(root: Root, folder: string, options: OpenDatasetOptions): Promise<Dataset> {
  const findings = startFindings(root, options);
  const { notes } = findings;
  const train = await clipsIn(folder, VIDEOS.train, findings);
  const test = await clipsIn(folder, VIDEOS.test, findings);
  const above = new Set([folder, root.path, dirname(resolve(folder))]);
  const places = [...above].flatMap((place) => [join(place, TRUTH, MASKS), join(place, MASKS)]);
  places.push(...LABEL_PLACES.map((place) => join(root.path, place)));
  const labels = await findLabels(test, places, options.labels);
  const unlabelled = test.filter((clip) => !labels.files.has(clip.name)).map((clip) => clip.name);
  if (unlabelled.length > 0) {
    const where = labels.files.size > 0 ? "" : ` (looked for 1_label.mat in ${TRUTH}/${MASKS}, a download of its own)`;
    notes.push(`test: no labels for ${namesInShort(unlabelled)}${where}`);
  }
  if (labels.misfit && test.length > 0) notes.push(misfitNote(root, labels.misfit, test[0]));
  if (labels.files.size > 0 && labels.others.length > 0) {
    notes.push(`test: ${namesInShort(labels.others)} are labels of videos that are not here`);
  }
  const none = { masks: new Map<string, string>(), tracks: new Map<string, string>() };
  const noLabels = { files: new Map<string, string>(), others: [] };
  const synthetic = await syntheticIn(folder);
  const splits = {
    train: await Promise.all(train.map((clip) => videoOf(clip, { ...none, ...synthetic, labels: noLabels }))),
    test: await Promise.all(test.map((clip) => videoOf(clip, { ...none, ...synthetic, labels }))),
  };
  return finishDataset("avenue", root, splits, findings, folder);
}

async function clipsIn(folder: string, wanted: string, { notes, onFault }: Findings): Promise<Clip[]> {
  const listing = await listFolder(folder);
  const name = listing && child(listing, wanted);
  if (name === undefined) {
    notes.push(`there is no ${wanted}/`);
    return [];
  }
  const { clips, others } = await findClips(join(folder, name), new Set(), onFault);
  if (others.length > 0) notes.push(`ignored in ${oneLine(name)}: ${namesInShort(others)}`);
  if (clips.length === 0) notes.push(`${oneLine(name)}/ holds no video`);
  return clips.sort((a, b) => naturalOrder(a.name, b.name));
}
