// Lists the folders of data sets: names in natural order, without hidden ones, and what cannot be
// opened.
import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";

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
    if (entry.name.includes("\uFFFD") && !(await isThere(join(folder, entry.name)))) {
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

/** Whether there is something of that name, be it a link that leads nowhere. */
function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** Names that are the same in all ways to write an accent: macOS takes them apart (NFD). */
export const nameKey = (name: string): string => name.normalize("NFC");

/** What is wrong with a name whose bytes are not UTF-8. */
export const notUtf8 = (path: string): string =>
  `${oneLine(path)}: this name is not UTF-8, so the file cannot be opened: rename it, for example with convmv`;

/** "a, b, c and 4 more". */
export function namesInShort(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map(oneLine).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
