import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";

/** What lies in a folder, hidden entries (".DS_Store", macOS's "._…") left out. Names in natural order: "2" before "10". */
export interface Listing {
  folders: string[];
  files: string[];
  /** Symbolic links that lead nowhere or round in circles. */
  broken: string[];
}

export const naturalOrder = new Intl.Collator("en", { numeric: true }).compare;

/** @returns undefined where there is no such folder. @throws InputError for one that cannot be read */
export async function listFolder(folder: string): Promise<Listing | undefined> {
  const listing: Listing = { folders: [], files: [], broken: [] };
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new InputError(`${oneLine(folder)} cannot be read: ${reasonOf(error)}`);
  });
  if (!entries) return undefined;
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const kind = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => undefined) : entry;
    if (!kind) listing.broken.push(entry.name);
    else if (kind.isDirectory()) listing.folders.push(entry.name);
    else if (kind.isFile()) listing.files.push(entry.name);
  }
  for (const names of Object.values(listing) as string[][]) names.sort(naturalOrder);
  return listing;
}

/** "a, b, c and 4 more". */
export function namesInShort(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map(oneLine).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
