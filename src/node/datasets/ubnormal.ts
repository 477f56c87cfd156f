import { join } from "node:path";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import type { Clip } from "./clip.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import type { Layout, OpenDatasetOptions, Root, Split } from "./layout.js";
import { listFolder, namesInShort } from "./listing.js";
import { ObjectTruth } from "./object_truth.js";
import { findSplit } from "./splits.js";

/**
 * UBnormal (Acsintoae et al., CVPR 2022) in the layout of docs/method.md §7: frames in
 * `{train,test}/frames/<video>` or `<video>.mp4`; in `{train,test}/annotations`, maps
 * `<video>_annotations/…<frame>_gt.png` whose pixels are numbers of objects, and
 * `<video>_tracks.txt` there or in `<video>_annotations`. Recognised by its annotations or the
 * folder's name.
 */
export const ubnormal: Layout = {
  name: "ubnormal",
  recognises: async (root) => {
    if (/ubnormal/i.test(root.name)) return true;
    for (const split of ["train", "test"]) {
      const listing = await listFolder(join(root.path, split, "annotations"));
      if (listing?.folders.some((name) => name.endsWith("_annotations"))) return true;
    }
    return false;
  },
  open: openUbnormal,
};

async function openUbnormal(root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  if (options.labels !== undefined) {
    throw new InputError(
      `the labels of ${oneLine(root.path)} come from its annotations: leave out ${oneLine(options.labels)}`,
    );
  }
  const findings = startFindings(root, options);
  const open = async (split: Split) => withTruth(root, split, await findSplit(root, split, findings), findings);
  const train = await open("train");
  const test = await open("test");
  if (root.folders.includes("validation")) findings.notes.push("validation/ is not read");
  return finishDataset("ubnormal", root, { train, test }, findings);
}

/** Adds the ground truth to the videos of a split. */
async function withTruth(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  { notes }: Findings,
): Promise<DatasetVideo[]> {
  const annotations = join(root.path, split, "annotations");
  const listing = await listFolder(annotations);
  if (!listing && clips.length > 0)
    notes.push(`${split}: no labels, masks or tracks (looked for ${split}/annotations)`);
  const trackless: string[] = [];
  const videos: DatasetVideo[] = [];
  for (const clip of clips) {
    const { name, path, frameCount, open } = clip;
    const video = { name, path, ...(frameCount === undefined ? {} : { frameCount }), open };
    if (!listing) {
      videos.push(video);
      continue;
    }
    const folder = join(annotations, `${name}_annotations`);
    const tracksName = `${name}_tracks.txt`;
    const inside = (await listFolder(folder))?.files.includes(tracksName);
    const tracksFile = inside ? join(folder, tracksName) : join(annotations, tracksName);
    const isAbnormal = name.includes("abnormal");
    const hasTracks = isAbnormal && (inside || listing.files.includes(tracksName));
    if (isAbnormal && !hasTracks) trackless.push(name);
    const truth = new ObjectTruth(clip, hasTracks ? tracksFile : undefined, folder);
    videos.push({
      ...video,
      labels: () => truth.labels(),
      mask: (frame) => truth.mask(frame),
      tracks: () => truth.tracks(),
    });
  }
  if (trackless.length > 0) {
    notes.push(`${split}: no _tracks.txt, so all frames are taken as normal: ${namesInShort(trackless)}`);
  }
  return videos;
}
