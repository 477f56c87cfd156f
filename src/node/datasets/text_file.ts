import { readFile, stat } from "node:fs/promises";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";

/** Beyond it a file of labels or tracks is taken to be something else. */
const MAX_BYTES = 64 * 2 ** 20;

/** A line of a text file. */
export interface Line {
  text: string;
  /** "labels.txt:3", for messages. */
  where: string;
}

/**
 * A text file without its byte order mark.
 * @throws InputError for one that cannot be read, is no file, or is larger than any file of labels
 */
export async function readText(path: string): Promise<string> {
  try {
    const info = await stat(path);
    // A pipe or a device would keep the reader waiting for ever.
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size > MAX_BYTES) throw new Error(`it has ${info.size} bytes; at most ${MAX_BYTES} are read`);
    return (await readFile(path, "utf8")).replace(/^\uFEFF/, "");
  } catch (error) {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
}

/** The lines of a text file that are not blank, with any system's line ends. @throws InputError as readText */
export async function readLines(path: string): Promise<Line[]> {
  const lines = (await readText(path)).split(/\r\n|\r|\n/);
  return lines
    .map((line, i) => ({ text: line.trim(), where: `${oneLine(path)}:${i + 1}` }))
    .filter(({ text }) => text !== "");
}

/** The numbers of a line, separated by commas, semicolons or blanks. @throws InputError for anything else in it */
export function numbersOf({ text, where }: Line): number[] {
  return text.split(/\s*[,;]\s*|\s+/).map((field) => {
    const value = Number(field);
    if (!/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(field) || !Number.isFinite(value)) {
      throw new InputError(`${where}: "${oneLine(field)}" is not a number`);
    }
    return value;
  });
}
