// Weekly times at which a camera is watched.
import { InputError } from "../errors.js";

const DAYS: readonly string[] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/** Minutes. */
const DAY = 24 * 60;
const WEEK = 7 * DAY;

/** A moment of the week, in local time. */
export interface LocalTime {
  /** 0…6; 0 is Monday. */
  day: number;
  /** Minutes since midnight, 0…1439. */
  minute: number;
}

/** A part of the week, in minutes since Monday's midnight. Its end may lie in the next week. */
interface Span {
  begin: number;
  /** Exclusive. */
  end: number;
}

/** Weekly times, as from {@link parseSchedule}. */
export class Schedule {
  /** @param spans minutes since Monday's midnight; `end` is exclusive, at most a week later */
  constructor(private readonly spans: readonly Span[]) {}

  /** Whether the schedule is on in this minute. */
  isOn({ day, minute }: LocalTime): boolean {
    const now = day * DAY + minute;
    return this.spans.some(({ begin, end }) => (now - begin + WEEK) % WEEK < end - begin);
  }
}

/**
 * Reads weekly times such as `mon-fri 08:00-18:00, sat 10:00-12:00`. Entries are separated by
 * commas. An entry has days (`mon`, `mon-fri`, `sat sun`) and a time from … to; a time without days
 * holds for every day. The end is exclusive: `18:00` is off. A time that ends before it begins goes
 * over midnight, and belongs to the day on which it begins. The whole day is `00:00-24:00`.
 * `always` and `never` stand alone.
 * @throws InputError with the entry that is wrong, and what would be right
 */
export function parseSchedule(text: string): Schedule {
  const entries = text
    .toLowerCase()
    .split(",")
    .map((entry) => entry.trim().replace(/\s+/g, " "));
  if (entries.length === 1) {
    if (entries[0] === "always") return new Schedule([{ begin: 0, end: WEEK }]);
    if (entries[0] === "never") return new Schedule([]);
    if (entries[0] === "") throw new InputError('the schedule is empty: write "always", "never" or times');
  }
  const parsed = entries.map(parseEntry);
  // "mon-fri 08:00-12:00, 13:00-17:00" is unclear: nobody knows the days of the second time.
  const everyDay = parsed.findIndex(({ days }) => days.length === 0);
  if (everyDay >= 0 && parsed.some(({ days }) => days.length > 0)) {
    throw wrong(entries[everyDay], "names no days, but other times do: write mon-sun for every day");
  }
  return new Schedule(parsed.flatMap(spansOf));
}

/** An entry: its days, none for every day, and its time in minutes since midnight. */
interface Entry {
  days: number[];
  begin: number;
  end: number;
}

function spansOf({ days, begin, end }: Entry): Span[] {
  const length = end > begin ? end - begin : end + DAY - begin;
  const all = days.length > 0 ? days : DAYS.keys();
  return Array.from(all, (day) => ({ begin: day * DAY + begin, end: day * DAY + begin + length }));
}

function parseEntry(entry: string): Entry {
  if (entry === "") throw new InputError("the schedule has an empty entry: two commas, or one at the end");
  const words = entry.replace(/ ?- ?/g, "-").split(" ");
  const time = words.pop() as string;
  if (time === "always" || time === "never") throw wrong(entry, "stands alone, without other times");
  const [begin, end, ...more] = time.split("-");
  if (!/^\d/.test(time)) {
    // "mon, wed 08:00-18:00" would be all of Monday.
    throw wrong(entry, "has no time: write mon-fri 08:00-18:00, mon wed 08:00-18:00 or mon 00:00-24:00");
  }
  if (end === undefined || more.length > 0) throw wrong(entry, "needs a time from … to, such as 08:00-18:00");
  const [from, to] = [minuteOf(begin, entry), minuteOf(end, entry)];
  if (from === DAY) throw wrong(entry, "begins at 24:00: write 00:00 of the next day");
  if (from === to) throw wrong(entry, "ends when it begins: the whole day is 00:00-24:00");
  return { days: words.flatMap((word) => daysOf(word, entry)), begin: from, end: to };
}

function minuteOf(time: string, entry: string): number {
  const match = /^(\d{1,2}):(\d{2})$/.exec(time);
  const [hour, minute] = match ? [Number(match[1]), Number(match[2])] : [Number.NaN, Number.NaN];
  if (!(minute < 60 && 60 * hour + minute <= DAY)) {
    throw wrong(entry, `has the time "${time}": times go from 00:00 to 24:00`);
  }
  return 60 * hour + minute;
}

/** The days of `mon`, `mon-fri` or `sat-mon`. */
function daysOf(word: string, entry: string): number[] {
  const [first, last = first, ...more] = word.split("-").map((name) => dayOf(name, entry));
  if (more.length > 0) throw wrong(entry, `has the days "${word}": write two of them, such as mon-fri`);
  return Array.from({ length: ((last - first + 7) % 7) + 1 }, (_, i) => (first + i) % 7);
}

function dayOf(name: string, entry: string): number {
  const day = DAYS.findIndex((one) => name === one || name === one.slice(0, 3));
  if (day < 0) throw wrong(entry, `has the day "${name}": days are mon, tue, wed, thu, fri, sat, sun`);
  return day;
}

function wrong(entry: string, what: string): InputError {
  return new InputError(`the schedule's "${entry}" ${what}`);
}

/** Making a format is slow, so each time zone's is kept. */
const formats = new Map<string | undefined, Intl.DateTimeFormat>();

/**
 * The day and minute of a moment in a time zone.
 * @param timeZone such as `Europe/Berlin`; default: the system's
 * @throws InputError if the time zone is unknown
 */
export function localTime(date: Date, timeZone?: string): LocalTime {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(date)
      .map(({ type, value }) => [type, value]),
  );
  const day = DAYS.indexOf((parts.get("weekday") ?? "").toLowerCase());
  return { day, minute: 60 * Number(parts.get("hour")) + Number(parts.get("minute")) };
}

function formatOf(timeZone: string | undefined): Intl.DateTimeFormat {
  const kept = formats.get(timeZone);
  if (kept) return kept;
  try {
    const clock = { hourCycle: "h23", hour: "2-digit", minute: "2-digit" } as const;
    const format = new Intl.DateTimeFormat("en-US", { timeZone, weekday: "long", ...clock });
    formats.set(timeZone, format);
    return format;
  } catch {
    throw new InputError(`the time zone "${timeZone}" is unknown: write one such as Europe/Berlin`);
  }
}
