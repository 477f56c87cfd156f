// A threshold kept beside its checkpoint.
import { open } from "node:fs/promises";
import { InputError } from "../../errors.js";
import type { AlarmRule } from "../../watch/alarm_rule.js";
import { reasonOf } from "./messages.js";

/** What `calibrate` found, and for which model and settings it holds. */
export interface StoredCalibration {
  format: "sdmae-calibration-1";
  /** ISO 8601. */
  made: string;
  /** The model's weightsHash. */
  model: string;
  /** How frames are scored, as JSON. Scores of other settings cannot be compared. */
  settings: string;
  rule: AlarmRule;
  threshold: number;
  /** The median level of normal video. */
  normal: number;
  alarmsPerDay: number;
  /** See `RateThreshold` of watch/calibration.ts. */
  extrapolation: number;
  /** Seconds of normal video. */
  seconds: number;
  /** Quantiles of the maps of normal video: 90 %, and 99.9 %, from which a region is abnormal. */
  map: { low: number; high: number };
  /** The highest level of each minute. */
  minutes: number[];
  /** The videos' names. */
  videos: string[];
}

/** Bytes; a day of minutes has 20 kB. */
const largest = 4e6;

/** The file beside a checkpoint. */
export const calibrationPath = (checkpoint: string) => `${checkpoint}.calibration.json`;

/**
 * Reads a calibration.
 * @returns undefined if there is no such file
 * @throws InputError if it cannot be read, or is not a calibration
 */
export async function readCalibration(path: string): Promise<StoredCalibration | undefined> {
  let text: string;
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > largest) throw new InputError(`${path}: ${size} bytes are too many for a calibration`);
      text = await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  return checked(text, path);
}

/** @throws InputError that names what is missing */
function checked(text: string, path: string): StoredCalibration {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw new InputError(`${path} is not JSON: calibrate again`);
  }
  const record = isRecord(found) ? found : {};
  if (record.format !== "sdmae-calibration-1") throw new InputError(`${path} is not a calibration of this version`);
  const { rule, map, minutes, videos } = record;
  const numbers: [name: string, value: unknown][] = [
    ...["threshold", "normal", "alarmsPerDay", "extrapolation", "seconds"].map((name): [string, unknown] => [
      name,
      record[name],
    ]),
    ...["average", "minimum", "release", "hold"].map((name): [string, unknown] => [
      `rule.${name}`,
      isRecord(rule) ? rule[name] : undefined,
    ]),
    ...["low", "high"].map((name): [string, unknown] => [`map.${name}`, isRecord(map) ? map[name] : undefined]),
  ];
  for (const [name, value] of numbers) {
    if (typeof value !== "number" || !Number.isFinite(value)) throw new InputError(`${path}: ${name} is not a number`);
  }
  for (const name of ["made", "model", "settings"]) {
    if (typeof record[name] !== "string") throw new InputError(`${path}: ${name} is not a text`);
  }
  const isList = (list: unknown, type: string) => Array.isArray(list) && list.every((value) => typeof value === type);
  if (!isList(minutes, "number")) throw new InputError(`${path}: minutes is not a list of numbers`);
  if (!isList(videos, "string")) throw new InputError(`${path}: videos is not a list of names`);
  return found as StoredCalibration;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
