import { InputError } from "../errors.js";
import { macroAuc, microAuc } from "../eval/frame_auc.js";
import { regionMetrics } from "../eval/region_metrics.js";
import { minMaxNormalize, smooth } from "../eval/smoothing.js";
import { reasonOf } from "../node/messages.js";
import type { Comparison } from "./fixture_case.js";

/** The most that a metric may be off. */
export const metricTolerance = 1e-9;

/** Whether a file is text, as metric cases are: a safetensors file starts with a 64-bit length, whose upper bytes are 0. */
export function isText(bytes: Uint8Array): boolean {
  return !bytes.subarray(0, 8).includes(0);
}

/**
 * Computes the metrics of a JSON list of cases and compares them with the file's: frame scores (`scores`, `labels`, `videos`, smoothed
 * by `range`, `mu`, `normalize`) or regions (`tracks`, `detections`, `num_frames`, `alpha`, `beta`).
 * @throws InputError naming the file, the case and the field for what is not as it has to be
 */
export function checkMetrics(path: string, bytes: Uint8Array): Comparison[] {
  let cases: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    cases = JSON.parse(withoutNaN(keepKeyOrder(text)));
  } catch (error) {
    throw new InputError(`${path}: neither a safetensors file nor valid JSON (${reasonOf(error)})`);
  }
  if (!Array.isArray(cases) || cases.length === 0) throw new InputError(`${path} is no JSON list of cases`);
  return cases.flatMap((content: unknown, i) => {
    const name = `case ${i + 1}`;
    try {
      return checkCase(new Fields(content)).map((c) => ({ ...c, name: `${name}: ${c.name}` }));
    } catch (error) {
      throw error instanceof InputError ? new InputError(`${path}: ${name}: ${error.message}`) : error;
    }
  });
}

/** Keys that are whole numbers would come first in JavaScript, and equal scores go in the order of the videos: a blank prevents it. */
function keepKeyOrder(json: string): string {
  return json.replace(/"(\d+)"(?=\s*:)/g, '" $1"');
}

/** Python writes NaN, which is no JSON, between commas and brackets: null stands for it. */
function withoutNaN(json: string): string {
  return json.replace(/(?<=[[,]\s*)NaN(?=\s*[\],])/g, "null");
}

function checkCase(fields: Fields): Comparison[] {
  if (fields.has("scores")) return checkFrameScores(fields);
  if (fields.has("tracks")) return checkRegions(fields);
  throw new InputError('neither frame scores ("scores") nor regions ("tracks")');
}

function checkFrameScores(fields: Fields): Comparison[] {
  const settings = { kind: "paper", range: fields.number("range"), mu: fields.number("mu") } as const;
  const normalize = fields.flag("normalize");
  const names = fields.strings("videos");
  const scores = fields.numbers("scores");
  const labels = fields.numbers("labels");
  if (names.length === 0 || names.length !== scores.length || names.length !== labels.length) {
    throw new InputError(
      `there are ${names.length} "videos", ${scores.length} "scores" and ${labels.length} "labels": ` +
        "each frame needs one of each",
    );
  }
  const framesOf = new Map<string, number[]>();
  names.forEach((name, frame) => {
    const frames = framesOf.get(name);
    if (frames) frames.push(frame);
    else framesOf.set(name, [frame]);
  });
  const videos = Array.from(framesOf, ([video, frames]) => {
    const name = `video ${video}`;
    const raw = frames.map((frame) => scores[frame]);
    const filtered = smooth(raw, settings, name);
    return {
      name,
      filtered,
      labels: frames.map((frame) => labels[frame]),
      scores: normalize ? minMaxNormalize(filtered) : filtered,
    };
  });
  return [
    compareNumbers("filtered_first_video", videos[0]?.filtered ?? [], fields.numbers("filtered_first_video")),
    compareNumbers("micro_auc", [microAuc(videos) ?? Number.NaN], [fields.number("micro_auc")]),
    compareNumbers("macro_auc", [macroAuc(videos) ?? Number.NaN], [fields.number("macro_auc")]),
  ];
}

function checkRegions(fields: Fields): Comparison[] {
  const tracks = fields.rowsOf("tracks");
  const detections = fields.rowsOf("detections");
  const videos = [...new Set([...detections.keys(), ...tracks.keys()])].map((name) => ({
    name: `video ${name}`,
    tracks: (tracks.get(name) ?? []).map(([track, frame, x1, y1, x2, y2]) => ({ track, frame, x1, y1, x2, y2 })),
    detections: (detections.get(name) ?? []).map(([frame, x1, y1, x2, y2, score]) => ({
      frame,
      x1,
      y1,
      x2,
      y2,
      score,
    })),
  }));
  const frames = fields.number("num_frames");
  const options = { alpha: fields.number("alpha"), beta: fields.number("beta") };
  const { rbdc, tbdc, falsePositives } = regionMetrics(videos, frames, options);
  return [
    compareNumbers("rbdc", [rbdc ?? Number.NaN], [fields.number("rbdc")]),
    compareNumbers("tbdc", [tbdc ?? Number.NaN], [fields.number("tbdc")]),
    compareNumbers("reaches_fpr_1", [Number(falsePositives >= frames)], [Number(fields.flag("reaches_fpr_1"))]),
  ];
}

/** The largest difference of any two values; NaN where one is. */
function compareNumbers(name: string, got: ArrayLike<number>, want: readonly number[]): Comparison {
  if (got.length !== want.length) {
    throw new InputError(`"${name}" has ${want.length} values, not ${got.length}`);
  }
  const error = want.reduce((worst, value, i) => Math.max(worst, Math.abs(value - got[i])), 0);
  return { name, elements: want.length, error, unit: "at most" };
}

type Row = [number, number, number, number, number, number];

/** The fields of a case, each checked as it is read. */
class Fields {
  private readonly values: ReadonlyMap<string, unknown>;

  constructor(content: unknown) {
    if (!isObject(content)) throw new InputError("no JSON object");
    this.values = new Map(Object.entries(content));
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  number(key: string): number {
    const value = this.values.get(key);
    return typeof value === "number" ? value : this.refuse(key, "a number");
  }

  flag(key: string): boolean {
    const value = this.values.get(key);
    return typeof value === "boolean" ? value : this.refuse(key, "true or false");
  }

  numbers(key: string): number[] {
    const value = this.values.get(key);
    const isNumber = (v: unknown) => typeof v === "number" || v === null;
    if (!isListOf(value, isNumber)) return this.refuse(key, "a list of numbers");
    return (value as (number | null)[]).map((v) => v ?? Number.NaN);
  }

  strings(key: string): string[] {
    const value = this.values.get(key);
    return isListOf(value, (v) => typeof v === "string") ? (value as string[]) : this.refuse(key, "a list of strings");
  }

  /** Rows of six numbers by video, in the file's order. */
  rowsOf(key: string): Map<string, Row[]> {
    const value = this.values.get(key);
    const isRow = (row: unknown) => isListOf(row, (v) => typeof v === "number") && (row as unknown[]).length === 6;
    if (!isObject(value) || !Object.values(value).every((rows) => isListOf(rows, isRow))) {
      return this.refuse(key, "an object with a list of rows of six numbers for each video");
    }
    return new Map(
      Object.entries(value as Record<string, Row[]>).map(([name, rows]) => [name.replace(/^ (?=\d+$)/, ""), rows]),
    );
  }

  private refuse(key: string, what: string): never {
    throw new InputError(`"${key}" is ${this.has(key) ? "not" : "missing: it should be"} ${what}`);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOf(value: unknown, isRight: (entry: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isRight);
}
