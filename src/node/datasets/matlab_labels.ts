// UCSD's label file, a MATLAB program, read as text.
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { readText } from "./text_file.js";

/** The abnormal frames of a video, as ranges of positions from 1, both ends inclusive. */
export interface LabelEntry {
  ranges: [first: number, last: number][];
  /** "UCSDped2.m:3", for messages. */
  where: string;
}

const ASSIGNMENT =
  /^TestVideoFile\s*\{\s*(end\s*\+\s*1|\d{1,6})\s*\}\s*\.\s*gt_frame\s*=\s*(?:\[([^[\]=]*)\]|([\d:\s]+))$/;

/**
 * Reads UCSD's label file: `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];` per test video. It is
 * a MATLAB program, but anything else than such assignments and comments is refused.
 * @returns the n-th test video's entry at n − 1; undefined if its index was left out
 * @throws InputError that names file and line
 */
export async function readMatlabLabels(path: string): Promise<(LabelEntry | undefined)[]> {
  const lines = (await readText(path)).split(/\r\n|\r|\n/);
  const entries: (LabelEntry | undefined)[] = [];
  let statement = "";
  for (const [i, line] of lines.entries()) {
    const where = `${oneLine(path)}:${i + 1}`;
    // After "..." or an open bracket the statement continues in the next line.
    statement += ` ${line.replace(/%.*$/, "").replace(/\.\.\.\s*$/, " ")}`;
    if (/\.\.\.\s*$/.test(line.replace(/%.*$/, "")) || /\[[^\]]*$/.test(statement)) continue;
    for (const part of statement.split(";").map((text) => text.trim())) {
      if (part === "" || /^TestVideoFile\s*=\s*(\{\s*\}|\[\s*\])$/.test(part)) continue;
      const [, index, list, single] = ASSIGNMENT.exec(part) ?? [];
      const ranges = list ?? single;
      if (index === undefined || ranges === undefined) {
        throw new InputError(
          `${where}: "${oneLine(part)}" is not of the form TestVideoFile{end+1}.gt_frame = [61:180]`,
        );
      }
      const at = /^\d/.test(index) ? Number(index) - 1 : entries.length;
      if (at < 0) throw new InputError(`${where}: videos are counted from 1`);
      entries[at] = { ranges: parseRanges(ranges, where), where };
    }
    statement = "";
  }
  if (statement.trim() !== "") throw new InputError(`${oneLine(path)}: its last list of frames is not closed`);
  if (entries.length === 0)
    throw new InputError(`${oneLine(path)} has no line TestVideoFile{end+1}.gt_frame = [61:180]`);
  return entries;
}

function parseRanges(text: string, where: string): [number, number][] {
  const fields = text
    .replace(/\s*:\s*/g, ":")
    .split(/[\s,]+/)
    .filter((field) => field !== "");
  return fields.map((field) => {
    const match = /^(\d{1,9})(?::(\d{1,9}))?$/.exec(field);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || first < 1 || last < first) {
      throw new InputError(`${where}: "${oneLine(field)}" is not a range of frames, such as 61:180, counted from 1`);
    }
    return [first, last];
  });
}

/**
 * The labels of a video's frames: 1 in the ranges, else 0.
 * @throws InputError if a range reaches beyond the video
 */
export function labelsOfRanges({ ranges, where }: LabelEntry, name: string, frameCount: number): Uint8Array {
  const labels = new Uint8Array(frameCount);
  for (const [first, last] of ranges) {
    if (last > frameCount) {
      throw new InputError(
        `${where}: frames ${first}:${last} are abnormal, but ${oneLine(name)} has ${counted(frameCount, "frame")}`,
      );
    }
    labels.fill(1, first - 1, last);
  }
  return labels;
}
