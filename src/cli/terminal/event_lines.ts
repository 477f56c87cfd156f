// Events and their changes as lines for people.
import { join } from "node:path";
import { oneLine } from "../../node/files/messages.js";
import { duration } from "../../report/web/format.js";
import type { CameraEvent, EventChange } from "../../server/records.js";

/** How lines are written. */
export interface EventLineOptions {
  /** The data folder: files are named with it. */
  data: string;
  /** Times in UTC instead of local time. */
  isUtc: boolean;
  /** Ids of events whose clips were deleted. */
  deleted?: ReadonlySet<string>;
  /** Characters for the camera's id. Default: 12. */
  width?: number;
}

/** An event in a line: when it began, the camera, what it was, how long, how high, where. */
export function eventLine(event: CameraEvent, options: EventLineOptions): string {
  return line(event.start, event, lasting(event), options);
}

/** A change of an event in a line; its time is that of the change. */
export function changeLine({ change, time, event }: EventChange, options: EventLineOptions): string {
  const word = change === "end" ? lasting(event) : change;
  return line(time, event, word, options);
}

function line(
  time: string,
  event: CameraEvent,
  word: string,
  { data, isUtc, deleted, width = 12 }: EventLineOptions,
): string {
  const { camera, kind, peak, threshold, zones, text, reason, silent, feedback, clip } = event;
  const above = threshold === undefined ? "" : ` of ${level(threshold)}`;
  const columns = [
    readable(time, isUtc),
    oneLine(camera).padEnd(Math.min(40, width)),
    kind.padEnd(12),
    word.padStart(9),
    (peak ? `${level(peak.level)}${above}` : "").padEnd(14),
  ];
  const file = clip === undefined ? "" : deleted?.has(event.id) ? "(the clip was deleted)" : oneLine(join(data, clip));
  const words = [zones.join(", "), text ?? "", reason ?? "", silent ? "silent" : "", feedback ?? ""];
  return [...columns, ...[...words.map(oneLine), file].filter(Boolean)].join("  ").trimEnd();
}

/** "Mon 2026-11-30 14:15:02", with "UTC" behind it if it is not local; what is no time stays. */
export function readable(time: string, isUtc: boolean): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return oneLine(time);
  // A local time is shifted, so that it reads the same in UTC.
  const shown = isUtc ? date : new Date(date.getTime() - 60_000 * date.getTimezoneOffset());
  const [day, clock] = shown.toISOString().split("T");
  return `${weekdays[shown.getUTCDay()]} ${day} ${clock.slice(0, 8)}${isUtc ? " UTC" : ""}`;
}

const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** A level or threshold: three digits. */
const level = (value: number): string => value.toPrecision(3);

function lasting({ start, end }: CameraEvent): string {
  if (end === undefined) return "goes on";
  const seconds = Math.max(0, (Date.parse(end) - Date.parse(start)) / 1000);
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}
