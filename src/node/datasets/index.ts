import { basename, join, resolve } from "node:path";
import type { Dataset } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { avenue } from "./avenue.js";
import { folder } from "./folder.js";
import { type Layout, type LayoutName, lookedFor, type OpenDatasetOptions, type Root } from "./layout.js";
import { listFolder } from "./listing.js";
import { shanghai } from "./shanghai.js";
import { ubnormal } from "./ubnormal.js";
import { ped1, ped2 } from "./ucsd.js";

export type { LayoutName, OpenDatasetOptions } from "./layout.js";

/** In the order in which they are tried; a layout of one's own is one file and an entry here. */
const layouts: readonly Layout[] = [ped1, ped2, avenue, shanghai, ubnormal, folder];

/** The layouts that {@link openDataset} takes. */
export const layoutNames: readonly LayoutName[] = layouts.map((layout) => layout.name);

/**
 * Opens a data set that lies in a folder. Only names are read: frames, labels, masks and tracks are when they are asked for.
 * @throws InputError naming what is wrong: no such folder, nothing in it that is known, a video's folder that is empty or has two frames of one number
 */
export async function openDataset(root: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const found = await openRoot(root);
  const name = options.layout ?? (await layoutOf(found));
  const layout = layouts.find((candidate) => candidate.name === name);
  if (!layout)
    throw new InputError(`there is no data set layout "${oneLine(name)}"; those are ${layoutNames.join(", ")}`);
  return layout.open(found, options);
}

/** Which layout a folder has. @throws InputError if none that is known, saying what was looked for */
export async function detectLayout(root: string): Promise<LayoutName> {
  return layoutOf(await openRoot(root));
}

async function openRoot(path: string): Promise<Root> {
  const listing = await listFolder(path);
  if (!listing) throw new InputError(`${oneLine(path)} is no folder: name the one that holds the data set`);
  return { path, name: basename(resolve(path)), ...listing };
}

async function layoutOf(root: Root): Promise<LayoutName> {
  // A folder's name alone may be that of the download that holds several.
  const hasSplit = root.folders.some((name) => /^(train|test)$/i.test(name));
  if (hasSplit) for (const layout of layouts) if (await layout.recognises(root)) return layout.name;
  const inner: string[] = [];
  for (const name of hasSplit ? [] : root.folders) {
    const listing = await listFolder(join(root.path, name));
    if (listing?.folders.some((child) => /^(train|test)$/i.test(child))) inner.push(name);
  }
  const shown = oneLine(root.path);
  if (inner.length > 0) {
    throw new InputError(
      `${shown} is no data set itself, but holds ${inner.map(oneLine).join(" and ")}: name ${inner.length > 1 ? "one of them" : "it"}`,
    );
  }
  throw new InputError(
    `${shown} holds no data set that is known: looked for ${lookedFor.folder}; UCSD's ${lookedFor.ped1.split(",")[0]}`,
  );
}
