// Which events a log has, newest first; also while another process has it open.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { InputError } from "../errors.js";
import { oneLine } from "../node/files/messages.js";
import { idPattern } from "./config/values.js";
import {
  changesIn,
  daysOf,
  isChange,
  LONGEST_LINE,
  type LoggedChange,
  type LogPosition,
  linesOf,
  logStart,
  parseLine,
} from "./log_lines.js";
import type { CameraEvent, EventChange, EventKind } from "./records.js";

/** Which events are asked for. */
export interface EventFilter {
  /** ISO 8601: only events that began then or later. */
  since?: string;
  /** ISO 8601: only events that began earlier. */
  until?: string;
  camera?: string;
  kind?: EventKind;
  /** At most so many, the newest ones. Default: all. */
  limit?: number;
}

/**
 * The latest state of each event of a log's folder, newest first, while another process may have
 * the log open.
 * @param onDamaged hears of each line that is left out: its day, and its first byte
 * @returns none if there is no such folder
 * @throws InputError if a file cannot be read, or `since` or `until` is no time
 */
export function readEvents(
  folder: string,
  filter: EventFilter = {},
  onDamaged: (day: string, at: number) => void = () => {},
): Promise<CameraEvent[]> {
  return mergeEvents(folder, filter, (day) => changesIn(folder, day, 0, undefined, (at) => onDamaged(day, at)));
}

/**
 * Ids of the cameras that a data folder knows, in order: by what is kept of them, or by events.
 * @throws InputError if a file of events cannot be read
 */
export async function camerasIn(data: string): Promise<string[]> {
  const ids = (await readEvents(join(data, "events"))).map(({ camera }) => camera);
  for (const part of ["cameras", "clips"]) {
    const entries = await readdir(join(data, part), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) if (entry.isDirectory() && idPattern.test(entry.name)) ids.push(entry.name);
  }
  return [...new Set(ids)].sort();
}

/** Whether an event is of the camera and kind that are asked for. */
const concerns = (event: CameraEvent, { camera, kind }: Pick<EventFilter, "camera" | "kind">): boolean =>
  (camera ?? event.camera) === event.camera && (kind ?? event.kind) === event.kind;

/** Newest first. */
const newerFirst = (a: CameraEvent, b: CameraEvent): number => {
  const [first, second] = a.start === b.start ? [a.id, b.id] : [a.start, b.start];
  return first < second ? 1 : first > second ? -1 : 0;
};

/** A time in the form that events have. @throws InputError if it is none */
function timeOf(text: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new InputError(`"${oneLine(text)}" is not a time such as 2026-11-30T14:15Z`);
  return time.toISOString();
}

/** Those of some events that are asked for, newest first. @throws InputError if a time is none */
export function selectEvents(
  events: readonly CameraEvent[],
  { since, until, limit, ...what }: EventFilter,
): CameraEvent[] {
  const [from, to] = [since, until].map((text) => (text === undefined ? undefined : timeOf(text)));
  return events
    .filter((event) => concerns(event, what) && event.start >= (from ?? "") && (to === undefined || event.start < to))
    .sort(newerFirst)
    .slice(0, limit);
}

/**
 * The latest state of each event, newest first. It reads the newest day first: a change holds its
 * event whole, so older files are of no use once there are enough events.
 * @param changesOf the changes of a day
 * @throws InputError if a file cannot be read, or `since` or `until` is no time
 */
export async function mergeEvents(
  folder: string,
  { since, until, camera, kind, limit = Number.POSITIVE_INFINITY }: EventFilter,
  changesOf: (day: string) => AsyncIterable<LoggedChange>,
): Promise<CameraEvent[]> {
  const from = since === undefined ? "" : timeOf(since);
  const to = until === undefined ? undefined : timeOf(until);
  const days = (await daysOf(folder)).reverse();
  const seen = new Set<string>();
  let found: CameraEvent[] = [];
  for (const [i, day] of days.entries()) {
    // No line is in a file of a day before its event began.
    if (day < from.slice(0, 10)) break;
    const latest = new Map<string, CameraEvent>();
    for await (const { change } of changesOf(day)) {
      const { event } = change;
      if (!seen.has(event.id)) latest.set(event.id, event);
    }
    for (const event of latest.values()) {
      seen.add(event.id);
      const isWanted =
        event.start >= from && (to === undefined || event.start < to) && concerns(event, { camera, kind });
      if (isWanted) found.push(event);
    }
    found.sort(newerFirst);
    if (found.length > limit) found = found.slice(0, limit);
    // Events of older files began at the end of the next file's day at the latest.
    const older = days[i + 1] ?? "";
    if (found.length === limit && found.every((event) => event.start.slice(0, 10) > older)) break;
  }
  return found.slice(0, limit);
}

/** How {@link followChanges} follows. */
export interface FollowOptions {
  /** Ends it. */
  signal: AbortSignal;
  /** Hears of each line that is left out: its day, and its first byte. */
  onDamaged?(day: string, at: number): void;
  /** Milliseconds between looks. Default: 500. */
  interval?: number;
}

/**
 * The changes of a log's folder as they come to lie there, while another process writes them, for
 * ever.
 * @param since ISO 8601: changes of then or later come first; default: none that is there already
 * @throws InputError if a file cannot be read, or `since` is no time; the signal's reason
 */
export async function* followChanges(
  folder: string,
  { since, ...wanted }: Pick<EventFilter, "camera" | "kind" | "since">,
  { signal, onDamaged = () => {}, interval = 500 }: FollowOptions,
): AsyncGenerator<EventChange> {
  const from = since === undefined ? undefined : timeOf(since);
  let at = from === undefined ? await endOf(folder) : { day: from.slice(0, 10), offset: 0 };
  for (;;) {
    for (const day of (await daysOf(folder)).filter((one) => one >= at.day)) {
      if (day !== at.day) at = { day, offset: 0 };
      for await (const { change, next } of newChanges(folder, at, onDamaged)) {
        signal.throwIfAborted();
        at = next;
        if (change && change.time >= (from ?? "") && concerns(change.event, wanted)) yield change;
      }
    }
    await wait(interval, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** The changes of a day's file from a place on; what is damaged is passed over once. */
async function* newChanges(
  folder: string,
  { day, offset }: LogPosition,
  onDamaged: (day: string, at: number) => void,
): AsyncGenerator<{ change?: EventChange; next: LogPosition }> {
  for await (const { text, start, end, whole } of linesOf(join(folder, `${day}.jsonl`), offset)) {
    // A last line that is not finished is read again.
    if (!whole && end - start <= LONGEST_LINE) return;
    const value = whole ? parseLine(text) : undefined;
    if (isChange(value)) yield { change: value, next: { day, offset: end } };
    else {
      onDamaged(day, start);
      yield { next: { day, offset: end } };
    }
  }
}

/** Behind the newest whole line. */
async function endOf(folder: string): Promise<LogPosition> {
  const day = (await daysOf(folder)).at(-1);
  let at: LogPosition = day === undefined ? logStart : { day, offset: 0 };
  if (day !== undefined) for await (const { next } of newChanges(folder, at, () => {})) at = next;
  return at;
}
