// The layouts of UCSD Ped1 and Ped2: as distributed, and that of the authors' repository.
import { join } from "node:path";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { type Clip, findClips, gapNote } from "./clip.js";
import { type Findings, finishDataset, startFindings } from "./findings.js";
import type { Layout, OpenDatasetOptions, Root, Split } from "./layout.js";
import { type Listing, listFolder, naturalOrder } from "./listing.js";
import { maskReader } from "./mask_images.js";
import { labelsOfRanges, readMatlabLabels } from "./matlab_labels.js";
import { abnormalOf, openOriginal, syntheticIn } from "./original.js";
import { ABNORMAL, ABNORMAL_MASKS } from "./splits.js";

/**
 * UCSD Ped1 (Mahadevan et al., CVPR 2010), as distributed or in the authors' layout; recognised by
 * the name of the folder or of the label file.
 */
export const ped1: Layout = {
  name: "ped1",
  recognises: async (root) => ped(1).test(root.name) || (await namedByLabels(root, 1)),
  open: (root, options) => openPed("ped1", root, options),
};

/** UCSD Ped2, as {@link ped1}. */
export const ped2: Layout = {
  name: "ped2",
  recognises: async (root) => ped(2).test(root.name) || (await namedByLabels(root, 2)),
  open: (root, options) => openPed("ped2", root, options),
};

/** Matches "ped2", "UCSDped2", "UCSD_Peds2" and "ped-2", but not "stopped2". */
const ped = (which: 1 | 2) => new RegExp(`(^|[^a-z]|ucsd)peds?[-_ ]?${which}(?!\\d)`, "i");

async function namedByLabels(root: Root, which: 1 | 2): Promise<boolean> {
  const test = await splitFolder(root, "test");
  return test?.files.some((name) => name.endsWith(".m") && ped(which).test(name)) ?? false;
}

async function openPed(layout: "ped1" | "ped2", root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  const [train, test] = [await splitFolder(root, "train"), await splitFolder(root, "test")];
  if (!hasClips(train, "train") && !hasClips(test, "test")) return openOriginal(layout, root, options);
  if (options.labels !== undefined) {
    throw new InputError(
      `the labels of ${oneLine(root.path)}, in UCSD's layout, are in its .m file: leave out ${oneLine(options.labels)}`,
    );
  }
  const findings = startFindings(root, options);
  const synthetic = await syntheticIn(train?.path ?? root.path);
  const trained = (clip: Clip): DatasetVideo => ({ ...plain(clip), ...abnormalOf(clip.name, synthetic) });
  const splits = {
    train: train ? (await splitClips(train, "train", findings)).map(trained) : [],
    test: test ? await withTruth(test, await splitClips(test, "test", findings), findings) : [],
  };
  if (!train) findings.notes.push("there is no Train/");
  if (!test) findings.notes.push("there is no Test/");
  return finishDataset(layout, root, splits, findings, train?.path);
}

interface SplitFolder extends Listing {
  path: string;
}

/** `Train` or `Test`, in capitals or not; of several such folders the one with clips. */
async function splitFolder(root: Root, split: Split): Promise<SplitFolder | undefined> {
  const found: SplitFolder[] = [];
  for (const name of root.folders.filter((folder) => folder.toLowerCase() === split)) {
    const path = join(root.path, name);
    const listing = await listFolder(path);
    if (listing) found.push({ ...listing, path });
  }
  return found.find((folder) => hasClips(folder, split)) ?? found[0];
}

const isClip = (name: string, split: Split) => new RegExp(`^${split}\\d+$`, "i").test(name);

function hasClips(folder: SplitFolder | undefined, split: Split): boolean {
  return folder?.folders.some((name) => isClip(name, split)) ?? false;
}

async function splitClips(folder: SplitFolder, split: Split, { notes, onFault }: Findings): Promise<Clip[]> {
  const skip = folder.folders.filter((name) => !isClip(name, split));
  const found = await findClips(folder.path, new Set(skip), onFault);
  // UCSD's clips are folders; a video file beside them is not UCSD's.
  const clips = found.clips.filter((clip) => clip.numbers);
  const known = new Set(["gradients2", ABNORMAL, ABNORMAL_MASKS]);
  const others = skip.filter((name) => !/_gt$/i.test(name) && !known.has(name));
  if (others.length > 0) notes.push(`ignored in ${split}: ${namesInShort(others)}`);
  for (const clip of clips) {
    const gap = gapNote(clip);
    if (gap) notes.push(`${split} ${oneLine(clip.name)}: ${gap}`);
  }
  return clips.sort((a, b) => naturalOrder(a.name, b.name));
}

function plain({ name, path, frameCount, open }: Clip): DatasetVideo {
  return { name, path, ...(frameCount === undefined ? {} : { frameCount }), open };
}

async function withTruth(folder: SplitFolder, clips: readonly Clip[], { notes }: Findings): Promise<DatasetVideo[]> {
  const files = folder.files.filter((name) => name.endsWith(".m"));
  // There may be other MATLAB programs.
  const file = files.find((name) => ped(1).test(name) || ped(2).test(name)) ?? files[0];
  const labelFile = file === undefined ? undefined : join(folder.path, file);
  const entries = labelFile === undefined ? [] : await readMatlabLabels(labelFile);
  if (labelFile === undefined && clips.length > 0) notes.push("test: no labels (looked for Test/*.m)");

  const masksOf = (clip: Clip) => folder.folders.find((name) => name.toLowerCase() === `${clip.name}_gt`.toLowerCase());
  const maskless = clips.filter((clip) => masksOf(clip) === undefined).map((clip) => clip.name);
  if (maskless.length > 0) notes.push(`test: no masks for ${namesInShort(maskless)}`);
  const numberOf = (clip: Clip) => Number(/\d+$/.exec(clip.name)?.[0]);
  const numbers = new Set(clips.map(numberOf));
  const strangers = [...entries.keys()].filter((i) => entries[i] && !numbers.has(i + 1));
  if (strangers.length > 0) {
    notes.push(`test: labels for ${namesInShort(strangers.map((i) => `video ${i + 1}`))}, which are not videos here`);
  }

  return clips.map((clip) => {
    const masks = masksOf(clip);
    const labels = async (): Promise<Uint8Array> => {
      // The entry goes by the number in the clip's name, since clips may be missing.
      const entry = entries[numberOf(clip) - 1];
      if (!entry)
        throw new InputError(
          `${oneLine(labelFile as string)} has no entry for ${oneLine(clip.name)}, but ${entries.length} others`,
        );
      return labelsOfRanges(entry, clip.name, clip.frameCount as number);
    };
    return {
      ...plain(clip),
      ...(labelFile === undefined ? {} : { labels }),
      ...(masks === undefined ? {} : { mask: maskReader(join(folder.path, masks), clip) }),
    };
  });
}
