// Names of files, in messages and as bytes.
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { oneLine } from "./messages.js";

/** "a, b, c and 4 more". */
export function namesInShort(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map(oneLine).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/**
 * Whether a name, as a folder was listed, leads to no file because its bytes are not UTF-8: Node
 * shows them as U+FFFD, and cannot open such a file.
 */
export async function isUnreadable(folder: string, name: string): Promise<boolean> {
  if (!name.includes("\uFFFD")) return false;
  // A link that leads nowhere is there, too.
  return lstat(join(folder, name)).then(
    () => false,
    () => true,
  );
}

/** What is wrong with names whose bytes are not UTF-8. */
export function notUtf8(folder: string, names: readonly string[]): string {
  if (names.length === 1) {
    const path = oneLine(join(folder, names[0]));
    return `${path}: this name is not UTF-8, so the file cannot be opened: rename it, for example with convmv`;
  }
  return (
    `${oneLine(folder)}: ${names.length} names are not UTF-8 (${namesInShort(names)}), so these files cannot be ` +
    "opened: rename them, for example with convmv"
  );
}
