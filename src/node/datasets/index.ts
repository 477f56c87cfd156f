// Opens a data set on disk, and finds out which layout it has.
import { basename, join, resolve } from "node:path";
import type { Dataset } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { avenue } from "./avenue.js";
import { folder } from "./folder.js";
import { type Layout, type LayoutName, lookedFor, type OpenDatasetOptions, type Root, splitName } from "./layout.js";
import { listFolder } from "./listing.js";
import { shanghai } from "./shanghai.js";
import { ubnormal } from "./ubnormal.js";
import { ped1, ped2 } from "./ucsd.js";

export type { LayoutName, OpenDatasetOptions } from "./layout.js";

/** In the order in which they are tried. A new layout is a file and an entry here. */
const layouts: readonly Layout[] = [ped1, ped2, avenue, shanghai, ubnormal, folder];

/** The names of the layouts that {@link openDataset} takes. */
export const layoutNames: readonly LayoutName[] = layouts.map((layout) => layout.name);

/**
 * Opens a data set in a folder. This reads names only; frames, labels, masks and tracks are read
 * when they are asked for.
 * @throws InputError that names what is wrong: there is no such folder, it has no known layout, or
 * a video's folder is empty or has two frames of one number
 */
export async function openDataset(root: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const found = await openRoot(root);
  const name = options.layout ?? (await layoutOf(found));
  const layout = layouts.find((candidate) => candidate.name === name);
  if (!layout)
    throw new InputError(`"${oneLine(name)}" is not a data set layout; the layouts are ${layoutNames.join(", ")}`);
  return layout.open(found, options);
}

/**
 * The layout of a folder.
 * @throws InputError that says what was looked for, if no layout is recognised
 */
export async function detectLayout(root: string): Promise<LayoutName> {
  return layoutOf(await openRoot(root));
}

async function openRoot(path: string): Promise<Root> {
  const listing = await listFolder(path);
  if (!listing) throw new InputError(`${oneLine(path)} is not a folder: name the one that holds the data set`);
  return { path, name: basename(resolve(path)), ...listing };
}

async function layoutOf(root: Root): Promise<LayoutName> {
  const distributed = await distributedAs(root);
  if (distributed) return distributed.name;
  // The name alone is not enough: it may be that of a download with several data sets.
  const hasSplit = splitName(root, "train") !== undefined || splitName(root, "test") !== undefined;
  if (hasSplit) for (const layout of layouts) if (await layout.recognises(root)) return layout.name;
  const inner: string[] = [];
  for (const name of root.folders) if (await isDataset(join(root.path, name))) inner.push(name);
  const shown = oneLine(root.path);
  if (inner.length > 0) {
    throw new InputError(
      `${shown} is not a data set itself, but holds ${inner.map(oneLine).join(" and ")}: name ${inner.length > 1 ? "one of them" : "it"}`,
    );
  }
  throw new InputError(
    `${shown} has no known data set layout: looked for ${lookedFor.folder.split(";")[0]}; UCSD's ${lookedFor.ped1.split(",")[0]}; ` +
      "Avenue's training_videos; UBnormal's Scene1 (if it holds normal videos and nothing else, its layout is \"folder\", which must be named)",
  );
}

async function distributedAs(root: Root): Promise<Layout | undefined> {
  for (const layout of layouts) if (await layout.isDistributed?.(root)) return layout;
  return undefined;
}

async function isDataset(path: string): Promise<boolean> {
  const root = await openRoot(path);
  if (splitName(root, "train") !== undefined || splitName(root, "test") !== undefined) return true;
  return (await distributedAs(root)) !== undefined;
}
