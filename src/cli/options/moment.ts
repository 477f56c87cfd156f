import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";

/** Milliseconds. */
const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A date, a time behind it, and where its zone is; all but the date may be absent. */
const pattern = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?(Z|[+-]\d\d:?\d\d)?)?$/i;

/**
 * The moment that an option names: so long ago (`90m`, `24h`, `7d`), a date or `today` or
 * `yesterday` (when it begins), or a date with a time, with or without its zone.
 * @param option its name, for the message
 * @param isUtc whether dates and times without a zone are in UTC; otherwise they are local
 * @throws InputError if it names none
 */
export function momentOf(option: string, text: string, isUtc: boolean, now = Date.now()): Date {
  const [, count, unit] = /^(\d{1,9})([smhd])$/i.exec(text) ?? [];
  const moment =
    count === undefined
      ? (dayOf(text, isUtc, now) ?? dateOf(text, isUtc))
      : new Date(now - units[unit.toLowerCase()] * Number(count));
  if (moment && !Number.isNaN(moment.getTime())) return moment;
  const forms = "a date, a date and time, or how long ago: 2026-11-30, 2026-11-30T14:15, yesterday, 90m, 24h, 7d";
  throw new InputError(`${option} "${oneLine(text)}": give ${forms}`);
}

/** When a day begins that has a name. */
function dayOf(text: string, isUtc: boolean, now: number): Date | undefined {
  const back = ["today", "yesterday"].indexOf(text.toLowerCase());
  if (back < 0) return undefined;
  const day = new Date(now);
  if (isUtc) return new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate() - back));
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() - back);
}

/** Undefined for what is no date, such as 30 February. */
function dateOf(text: string, isUtc: boolean): Date | undefined {
  const found = pattern.exec(text);
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part ?? 0));
  const milliseconds = Number((found[7] ?? "").padEnd(3, "0"));
  const utc = new Date(Date.UTC(year, month - 1, day, hour, minute, second, milliseconds));
  const isDate = utc.getUTCMonth() === month - 1 && utc.getUTCDate() === day;
  if (!isDate || hour > 23 || minute > 59 || second > 59) return undefined;
  const zone = found[8]?.toUpperCase();
  if (zone === undefined && !isUtc) return new Date(year, month - 1, day, hour, minute, second, milliseconds);
  if (zone === undefined || zone === "Z") return utc;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  const offset = (zone.startsWith("-") ? -1 : 1) * (60 * hours + minutes);
  return hours > 23 || minutes > 59 ? undefined : new Date(utc.getTime() - 60_000 * offset);
}
