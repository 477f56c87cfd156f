// Text files with labels and tracks: their lines and numbers.
import { readFile, stat } from "node:fs/promises";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseStandInBytes } from "../files/stand_in.js";

/** A larger file is not one of labels or tracks. */
const MAX_BYTES = 64 * 2 ** 20;

/** A line of a text file. */
export interface Line {
  text: string;
  /** "labels.txt:3", for messages. */
  where: string;
}

/**
 * The content of a text file, without its byte order mark: UTF-8, or UTF-16 if its mark says so, as
 * PowerShell's > writes it.
 * @throws InputError if it cannot be read, is not a file, has over 64 MiB, is not text, or only
 * stands for the file, as a Git LFS pointer does
 */
export async function readText(path: string): Promise<string> {
  try {
    const info = await stat(path);
    // A pipe or a device could block the reader for ever.
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size > MAX_BYTES) throw new Error(`it has ${info.size} bytes, more than ${MAX_BYTES}`);
    const bytes = await readFile(path);
    refuseStandInBytes(bytes, path);
    return textOf(bytes).replace(/^\uFEFF/, "");
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
}

function textOf(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  if (bytes.includes(0))
    throw new Error("it is not text in UTF-8, or in UTF-16 with a byte order mark: save it as UTF-8");
  return bytes.toString("utf8");
}

/**
 * The lines of a text file that are not blank; any system's line ends.
 * @throws InputError as readText does
 */
export async function readLines(path: string): Promise<Line[]> {
  const lines = (await readText(path)).split(/\r\n|\r|\n/);
  return lines
    .map((line, i) => ({ text: line.trim(), where: `${oneLine(path)}:${i + 1}` }))
    .filter(({ text }) => text !== "");
}

/**
 * The numbers of a line, separated by commas, semicolons or blanks.
 * @throws InputError if it has anything else
 */
export function numbersOf({ text, where }: Line): number[] {
  return text.split(/\s*[,;]\s*|\s+/).map((field) => {
    const value = Number(field);
    if (!/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(field) || !Number.isFinite(value)) {
      throw new InputError(`${where}: "${oneLine(field)}" is not a number`);
    }
    return value;
  });
}
