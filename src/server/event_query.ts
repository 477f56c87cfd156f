// Which events a log has, newest first; also while another process has it open.
import { InputError } from "../errors.js";
import { oneLine } from "../node/files/messages.js";
import { changesIn, daysOf, type LoggedChange } from "./log_lines.js";
import type { CameraEvent, EventKind } from "./records.js";

/** Which events are asked for. */
export interface EventFilter {
  /** ISO 8601: only events that began then or later. */
  since?: string;
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
 * @throws InputError if a file cannot be read, or `since` is no time
 */
export function readEvents(
  folder: string,
  filter: EventFilter = {},
  onDamaged: (day: string, at: number) => void = () => {},
): Promise<CameraEvent[]> {
  return mergeEvents(folder, filter, (day) => changesIn(folder, day, 0, undefined, (at) => onDamaged(day, at)));
}

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

/**
 * The latest state of each event, newest first. It reads the newest day first: a change holds its
 * event whole, so older files are of no use once there are enough events.
 * @param changesOf the changes of a day
 * @throws InputError if a file cannot be read, or `since` is no time
 */
export async function mergeEvents(
  folder: string,
  { since = "", camera, kind, limit = Number.POSITIVE_INFINITY }: EventFilter,
  changesOf: (day: string) => AsyncIterable<LoggedChange>,
): Promise<CameraEvent[]> {
  const from = since === "" ? "" : timeOf(since);
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
      if (event.start < from || (camera ?? event.camera) !== event.camera || (kind ?? event.kind) !== event.kind)
        continue;
      found.push(event);
    }
    found.sort(newerFirst);
    if (found.length > limit) found = found.slice(0, limit);
    // Events of older files began at the end of the next file's day at the latest.
    const older = days[i + 1] ?? "";
    if (found.length === limit && found.every((event) => event.start.slice(0, 10) > older)) break;
  }
  return found.slice(0, limit);
}
