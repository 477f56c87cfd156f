// The files of an event log as they are read: days, lines and places in them.
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../errors.js";
import { reasonOf } from "../node/files/messages.js";
import { changeKinds, type EventChange, eventKinds } from "./records.js";

/** A place in the log, between two lines. */
export interface LogPosition {
  /** The file: a UTC day, YYYY-MM-DD. */
  readonly day: string;
  /** Bytes from the beginning of the file. */
  readonly offset: number;
}

/** Where every log begins. */
export const logStart: LogPosition = { day: "0000-00-00", offset: 0 };

/** Negative if `a` is before `b`, 0 if they are the same, positive if `a` is behind `b`. */
export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.day !== b.day) return a.day < b.day ? -1 : 1;
  return a.offset - b.offset;
}

/** A change as it lies in the log. */
export interface LoggedChange {
  change: EventChange;
  /** Where its line begins. */
  at: LogPosition;
  /** Where the next line begins. */
  next: LogPosition;
}

/** Bytes. Longer lines are damaged: they are not held in memory. */
export const LONGEST_LINE = 1024 * 1024;

/** Whether a text has the form of a day, YYYY-MM-DD. */
export const isDay = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text);

/** The days that have a file, in order; none if there is no such folder. */
export async function daysOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new InputError(`${folder}: cannot be read (${reasonOf(error)})`);
  });
  return names
    .flatMap((name) => (name.endsWith(".jsonl") && isDay(name.slice(0, -6)) ? [name.slice(0, -6)] : []))
    .sort();
}

/** A line of a file. */
export interface Line {
  /** Without its line break; empty if it is too long. */
  text: string;
  /** Bytes from the beginning of the file; `end` is behind the line break. */
  start: number;
  end: number;
  /** Whether it has a line break and is not too long. */
  whole: boolean;
}

/** The lines of a file from one byte to another; none if there is no such file. */
export async function* linesOf(path: string, from: number, until = Number.POSITIVE_INFINITY): AsyncGenerator<Line> {
  if (until <= from) return;
  let parts: Buffer[] = [];
  let start = from;
  let at = from;
  const line = (ended: boolean): Line => {
    const whole = ended && at - start <= LONGEST_LINE;
    const found = {
      text: whole ? Buffer.concat(parts).toString("utf8", 0, at - start - 1) : "",
      start,
      end: at,
      whole,
    };
    start = at;
    parts = [];
    return found;
  };
  const add = (part: Buffer): void => {
    at += part.length;
    if (at - start <= LONGEST_LINE) parts.push(part);
    else parts = [];
  };
  try {
    for await (const chunk of createReadStream(path, { start: from, end: until - 1 }) as AsyncIterable<Buffer>) {
      let done = 0;
      for (let feed = chunk.indexOf(10); feed >= 0; feed = chunk.indexOf(10, done)) {
        add(chunk.subarray(done, feed + 1));
        done = feed + 1;
        yield line(true);
      }
      add(chunk.subarray(done));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  if (at > start) yield line(false);
}

/** The changes of a day from one byte to another. An unfinished last line is left out silently. */
export async function* changesIn(
  folder: string,
  day: string,
  from: number,
  until: number | undefined,
  onDamaged: (at: number) => void,
): AsyncGenerator<LoggedChange> {
  for await (const { text, start, end, whole } of linesOf(join(folder, `${day}.jsonl`), from, until)) {
    const change = whole ? parseLine(text) : undefined;
    if (isChange(change)) yield { change, at: { day, offset: start }, next: { day, offset: end } };
    else if (whole || end - start > LONGEST_LINE) onDamaged(start);
  }
}

/** A line's value; undefined if it is no JSON. */
export function parseLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether a value is a change as it is written. */
export function isChange(value: unknown): value is EventChange {
  if (typeof value !== "object" || value === null) return false;
  const { change, time, event } = value as Partial<EventChange>;
  if (!changeKinds.some((kind) => kind === change) || typeof time !== "string") return false;
  if (typeof event !== "object" || event === null || !eventKinds.some((kind) => kind === event.kind)) return false;
  return [event.id, event.camera, event.start].every((text) => typeof text === "string") && Array.isArray(event.zones);
}
