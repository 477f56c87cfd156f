import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { numbersOf, readLines } from "./text_file.js";

/**
 * Reads the labels of a video's frames: a 0 or 1 per line, or several separated by blanks or
 * commas; also as "0.0", "1.0" or NumPy's "1.000e+00".
 * @returns 0 (normal) or 1 (abnormal) per frame
 * @throws InputError if the file cannot be read, is empty, or holds anything else
 */
export async function readLabels(path: string): Promise<Uint8Array> {
  const labels: number[] = [];
  for (const line of await readLines(path)) {
    for (const value of numbersOf(line)) {
      if (value !== 0 && value !== 1) {
        throw new InputError(`${line.where}: a label is 0 (normal) or 1 (abnormal), not ${value}`);
      }
      labels.push(value);
    }
  }
  if (labels.length === 0) throw new InputError(`${oneLine(path)} is empty: it needs a 0 or 1 per frame`);
  return Uint8Array.from(labels);
}
