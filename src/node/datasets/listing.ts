// Lists the folders of data sets: names in natural order, without hidden ones, and what cannot be
// opened.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { isUnreadable } from "../files/names.js";

/**
 * The names in a folder, without hidden ones (".DS_Store", macOS's "._…"), in natural order: "2"
 * before "10".
 */
export interface Listing {
  folders: string[];
  files: string[];
  /** Symbolic links that lead nowhere or in a circle. */
  broken: string[];
  /** Names whose bytes are not UTF-8, as far as they can be shown: such files cannot be opened. */
  unreadable: string[];
}

/** Compares names for a sort: "2" comes before "10". */
export const naturalOrder = new Intl.Collator("en", { numeric: true }).compare;

/** Lists a folder; undefined if there is no such folder. @throws InputError if it cannot be read */
export async function listFolder(folder: string): Promise<Listing | undefined> {
  const listing: Listing = { folders: [], files: [], broken: [], unreadable: [] };
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new InputError(`${oneLine(folder)} cannot be read: ${reasonOf(error)}`);
  });
  if (!entries) return undefined;
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    if (await isUnreadable(folder, entry.name)) {
      listing.unreadable.push(entry.name);
      continue;
    }
    const kind = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => undefined) : entry;
    if (!kind) listing.broken.push(entry.name);
    else if (kind.isDirectory()) listing.folders.push(entry.name);
    else if (kind.isFile()) listing.files.push(entry.name);
  }
  for (const names of Object.values(listing) as string[][]) names.sort(naturalOrder);
  return listing;
}

/** Names that are the same in all ways to write an accent: macOS takes them apart (NFD). */
export const nameKey = (name: string): string => name.normalize("NFC");
