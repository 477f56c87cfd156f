// Labels of a video's frames as text: one per frame, or ranges of abnormal frames.
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type Line, readLines } from "./text_file.js";

/** Labels per frame, or ranges of abnormal frames: positions from 0, both inclusive. */
export type TextLabels = { labels: Uint8Array } | { ranges: LabelRange[] };

export interface LabelRange {
  first: number;
  last: number;
  /** "01.txt:3", for messages. */
  where: string;
}

/** A line's fields. */
interface Row {
  fields: string[];
  where: string;
}

/**
 * Reads the labels of a video's frames from a text file in one of these forms:
 * - a 0 or 1 per line, or several separated by blanks or commas; also as "0.0", NumPy's
 *   "1.000e+00", true and false, or 0 and 255;
 * - rows of a frame and its label, the frames counted up by 1;
 * - ranges of abnormal frames, `first-last` or `first last`;
 * - a table with a line of names first, with a column for the labels, or for first and last frame.
 * @throws InputError if the file cannot be read, is empty, or holds anything else
 */
export async function readTextLabels(path: string): Promise<TextLabels> {
  const rows = (await readLines(path)).map(fieldsOf);
  if (rows.length === 0) throw new InputError(`${oneLine(path)} is empty: it needs a 0 or 1 per frame`);
  const [head, ...body] = rows;
  const table = head.fields.every(isName) ? columnsOf(head) : undefined;
  if (table && "label" in table) return { labels: labelsOf(body.map((row) => cell(row, table.label))) };
  if (table) return { ranges: body.map((row) => rangeOf(cell(row, table.first), cell(row, table.last))) };
  const isDashed = rows.some(({ fields }) => fields.some((field) => DASHED.test(field)));
  if (isDashed) return { ranges: rows.flatMap(dashedRanges) };
  const cells = rows.map(({ fields, where }) => fields.map((_, i) => cell({ fields, where }, i)));
  return pairsOf(cells) ?? { labels: labelsOf(cells.flat()) };
}

const DASHED = /^(\d{1,9})[-–](\d{1,9})$/;

function fieldsOf({ text, where }: Line): Row {
  const plain = text.replace(/"/g, "").replace(/(\d)\s+[-–]\s+(?=\d)/g, "$1-");
  // A comma at the end of a line separates nothing.
  return { fields: plain.replace(/\s*[,;]\s*$/, "").split(/\s*[,;]\s*|\s+/), where };
}

const booleanOf = (field: string) => (/^true$/i.test(field) ? 1 : /^false$/i.test(field) ? 0 : undefined);

const isName = (field: string) =>
  /^[a-z_]/i.test(field) && booleanOf(field) === undefined && !/^(nan|inf)/i.test(field);

/** A number, and where it stands. */
interface Cell {
  value: number;
  where: string;
}

/** @throws InputError if the row has no such field, or if it is not a number, true or false */
function cell({ fields, where }: Row, column: number): Cell {
  const field = fields[column] ?? "";
  const value = booleanOf(field) ?? Number(field);
  if (booleanOf(field) === undefined && (!/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(field) || !Number.isFinite(value))) {
    throw new InputError(`${where}: "${oneLine(field)}" is not a number`);
  }
  return { value, where };
}

const LABEL = /^(labels?|gt|ground_?truth|(is_?)?(abnormal|anomaly|anomalous)|target|class|y)$/i;
const FIRST = /^(start|begin|first|from)(_?frame)?$/i;
const LAST = /^(end|stop|last|to)(_?frame)?$/i;

/** The columns of a table, by the names in its first line; undefined if that names none. */
function columnsOf({ fields, where }: Row): { label: number } | { first: number; last: number } | undefined {
  const [label, first, last] = [LABEL, FIRST, LAST].map((name) => fields.findIndex((field) => name.test(field)));
  if (label >= 0) return { label };
  if (first >= 0 && last >= 0) return { first, last };
  if (fields.length > 1) {
    throw new InputError(
      `${where}: none of the columns ${oneLine(fields.join(", "))} is named label, or start and end`,
    );
  }
  return undefined;
}

/** @throws InputError if a value is neither 0 nor 1, and they are not all 0 and 255 either */
function labelsOf(cells: readonly Cell[]): Uint8Array {
  const abnormal = cells.every(({ value }) => value === 0 || value === 255) ? 255 : 1;
  return Uint8Array.from(cells, ({ value, where }) => {
    if (value !== 0 && value !== abnormal) {
      throw new InputError(`${where}: a label is 0 (normal) or 1 (abnormal), not ${value}`);
    }
    return value === 0 ? 0 : 1;
  });
}

/** The labels in values of any file; as {@link labelsOf} of text. */
export function labelsOfValues(values: ArrayLike<number>, path: string): Uint8Array {
  if (values.length === 0) throw new InputError(`${oneLine(path)} is empty: it needs a 0 or 1 per frame`);
  const where = oneLine(path);
  return labelsOf(Array.from(values, (value) => ({ value, where })));
}

/** Rows of two: frames with labels, or ranges; undefined if they are neither, or labels alone. */
function pairsOf(rows: readonly Cell[][]): TextLabels | undefined {
  if (rows.some((row) => row.length !== 2) || rows.flat().every(({ value }) => value === 0 || value === 1)) {
    return undefined;
  }
  const isCounted = rows.every(([frame], i) => frame.value === rows[0][0].value + i);
  const labels = rows.map(([, label]) => label);
  if (
    rows.length > 1 &&
    isCounted &&
    [1, 255].some((abnormal) => labels.every(({ value }) => value === 0 || value === abnormal))
  ) {
    return { labels: labelsOf(labels) };
  }
  return { ranges: rows.map(([first, last]) => rangeOf(first, last)) };
}

/** @throws InputError if it is not a range */
function rangeOf({ value: first, where }: Cell, { value: last }: Cell): LabelRange {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last) || first < 0 || last < first) {
    throw new InputError(`${where}: ${first} to ${last} is not a range of frames, first to last, counted from 0`);
  }
  return { first, last, where };
}

function dashedRanges({ fields, where }: Row): LabelRange[] {
  return fields.map((field) => {
    const [, first, last] = DASHED.exec(field) ?? [];
    if (first === undefined) {
      throw new InputError(`${where}: "${oneLine(field)}" is not a range of frames, such as 61-180, counted from 0`);
    }
    return rangeOf({ value: Number(first), where }, { value: Number(last), where });
  });
}

/**
 * The labels of ranges: 1 in them, else 0.
 * @throws InputError if a range reaches beyond the video
 */
export function labelsOfFrames(ranges: readonly LabelRange[], frameCount: number): Uint8Array {
  const labels = new Uint8Array(frameCount);
  for (const { first, last, where } of ranges) {
    if (last >= frameCount) {
      throw new InputError(
        `${where}: the frames ${first} to ${last} are abnormal, but the video's are 0 to ${frameCount - 1}`,
      );
    }
    labels.fill(1, first, last + 1);
  }
  return labels;
}
