// The order of a folder's images, their numbers and times, by their names alone.
import { parse } from "node:path";
import { sampleStride } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";

/**
 * How images are put in order: by the last number of their names, by the whole names, or by
 * whichever of them the names call for.
 */
export type FrameOrder = "auto" | "number" | "name";
export const frameOrders: readonly FrameOrder[] = ["auto", "number", "name"];

/** How {@link orderFrames} is told to read names. */
export interface OrderOptions {
  /** Default "auto". */
  order?: FrameOrder;
  /** The distance of neighbouring frames' numbers. Default: found out. */
  step?: number;
}

/** An image's place. */
export interface NamedFrame {
  name: string;
  number: number;
  /** Seconds since the first frame, if the names are times. */
  time?: number;
}

/** A folder's images in order. */
export interface FrameList {
  frames: NamedFrame[];
  /** The distance of neighbouring frames' numbers. */
  step: number;
  /** What was decided and is not plain from the names; a line each. */
  notes: string[];
}

/**
 * Puts images in order.
 *
 * A frame's number is the last run of digits in its name: "cam2_frame-0017.png" is 17. Names
 * without a digit come last, with the numbers that follow. If all numbers are multiples of a
 * distance, counted from the first, neighbours are that far apart ("0008", "0016", …).
 *
 * If all names hold a date with a clock time, or a Unix time, these give order and times. If the
 * numbers run in another order than the names, or occur twice, the whole names give the order
 * ("2" before "10"). Either way frames are numbered from 0.
 * @param folder for messages
 * @throws InputError if two images have the same place, a number is too large (order "number"), or
 * numbers are closer than `step`
 */
export function orderFrames(folder: string, names: readonly string[], options: OrderOptions = {}): FrameList {
  const { order = "auto" } = options;
  const named = names.map((name) => new Name(name)).sort(Name.compare);
  if (order === "name") return byPosition(folder, named, timesOf(named, "any"), options);
  if (order === "number") return byNumber(folder, named, options);

  // 1. Numbers without a gap, in the order of the names; names of which some have no number.
  if (named.some((name) => name.digits === undefined)) return byNumber(folder, named, options);
  const numbers = named.flatMap(({ number }) => number ?? []);
  const areNumbers = numbers.length === named.length;
  const agree = areNumbers && numbers.every((number, i) => i === 0 || number > numbers[i - 1]);
  if (agree && numbers[numbers.length - 1] === numbers[0] + numbers.length - 1) return byNumber(folder, named, options);
  // 2. Times, no two of them the same.
  const dates = timesOf(named, "dated");
  if (dates && new Set(dates).size === dates.length) return byPosition(folder, named, dates, options, "are times");
  // 3. Numbers with gaps. Fronts that differ may be labels before one counter ("normal_5",
  // "abnormal_6"); or two videos, whose numbers then repeat.
  const oneFront = named.every(({ front }) => front === named[0].front);
  if (agree || (areNumbers && !oneFront)) return byNumber(folder, named, options);
  // 4. Times that repeat, clocks without a date, or just the names.
  const end = !areNumbers
    ? "end in numbers that are too large for a frame's"
    : new Set(numbers).size < numbers.length
      ? "end in numbers that occur more than once"
      : "end in numbers that run in another order";
  return byPosition(folder, named, dates ?? timesOf(named, "any"), options, end);
}

/** A name, taken apart. */
class Name {
  readonly stem: string;
  /** Runs of text and of digits in turns; the first one is text. */
  readonly parts: string[];
  /** The last run of digits. */
  readonly digits: string | undefined;
  /** Undefined if there are no digits or they are too many for a number. */
  readonly number: number | undefined;

  constructor(readonly name: string) {
    this.stem = parse(name).name;
    this.parts = this.stem.split(/(\d+)/);
    this.digits = this.parts.length > 1 ? this.parts[this.parts.length - 2] : undefined;
    const number = Number(this.digits);
    this.number = this.digits !== undefined && Number.isSafeInteger(number) ? number : undefined;
  }

  /** The text before the first digit. */
  get front(): string {
    return this.parts[0];
  }

  /** Natural order: runs of digits by their value, text by its characters. */
  static compare(a: Name, b: Name): number {
    return Name.compareParts(a, b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  }

  /** 0 if the names differ in leading zeros and in the extension only. */
  static compareParts(a: Name, b: Name): number {
    const most = Math.max(a.parts.length, b.parts.length);
    for (let i = 0; i < most; i++) {
      const [x, y] = [a.parts[i], b.parts[i]];
      if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
      const order = i % 2 === 1 ? compareDigits(x, y) : x < y ? -1 : x > y ? 1 : 0;
      if (order !== 0) return order;
    }
    return 0;
  }
}

function compareDigits(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+/, ""), b.replace(/^0+/, "")];
  return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0);
}

/** The order of the last numbers. Names without one come last, with the numbers that follow. */
function byNumber(folder: string, named: readonly Name[], options: OrderOptions): FrameList {
  const frames: NamedFrame[] = [];
  const rest: string[] = [];
  for (const { name, digits, number } of named) {
    if (digits === undefined) rest.push(name);
    else if (number !== undefined) frames.push({ name, number });
    else throw new InputError(`${oneLine(`${folder}/${name}`)}: the frame number ${oneLine(digits)} is too large`);
  }
  frames.sort((a, b) => a.number - b.number || (a.name < b.name ? -1 : 1));
  for (let i = 1; i < frames.length; i++) {
    const [a, b] = [frames[i - 1], frames[i]];
    if (a.number !== b.number) continue;
    throw sameNumber(folder, a.name, b.name, a.number);
  }
  let next = (frames.at(-1)?.number ?? -1) + 1;
  for (const name of rest.sort()) frames.push({ name, number: next++ });
  return withStep(folder, frames, options);
}

/** Times give the order, else the names as they are. Frames are numbered from 0. */
function byPosition(
  folder: string,
  named: readonly Name[],
  times: readonly bigint[] | undefined,
  options: OrderOptions,
  why?: string,
): FrameList {
  for (let i = 1; i < named.length; i++) {
    if (Name.compareParts(named[i - 1], named[i]) !== 0) continue;
    const [a, b] = [named[i - 1], named[i]];
    throw sameNumber(folder, a.name, b.name, a.digits ?? "");
  }
  const places = named.map((_, i) => i);
  // The sort is stable: frames of one time stay in the order of their names.
  if (times) places.sort((i, j) => (times[i] < times[j] ? -1 : times[i] > times[j] ? 1 : 0));
  const frames = places.map((place, number): NamedFrame => {
    const { name } = named[place];
    return times ? { name, number, time: Number(times[place] - times[places[0]]) / 1e9 } : { name, number };
  });
  const { step } = withStep(folder, frames, options);
  const basis = times ? "the times in them" : "the whole names";
  const notes = why
    ? [`${oneLine(folder)}: the names ${why}; frames are in the order of ${basis}, numbered from 0`]
    : [];
  return { frames, step, notes };
}

function sameNumber(folder: string, a: string, b: string, number: number | string): InputError {
  return new InputError(
    `${oneLine(folder)}: ${oneLine(a)} and ${oneLine(b)} both have the frame number ${Number(number)}`,
  );
}

/** @throws InputError if the step that the user named is longer than a distance of numbers */
function withStep(folder: string, frames: NamedFrame[], { step: wanted }: OrderOptions): FrameList {
  const distances = frames.slice(1).map(({ number }, i) => number - frames[i].number);
  if (wanted !== undefined) {
    const close = distances.findIndex((distance) => distance < wanted);
    if (close >= 0) {
      const [a, b] = [frames[close].number, frames[close + 1].number];
      throw new InputError(`${oneLine(folder)}: frames ${a} and ${b} are closer than the step, ${wanted}`);
    }
    return { frames, step: wanted, notes: [] };
  }
  // One distance proves nothing.
  const step = distances.length < 2 ? 1 : distances.reduce(greatestCommonDivisor);
  const notes =
    step > 1
      ? [
          `${oneLine(folder)}: frame numbers are ${step} apart, so a frame's neighbours are those ${step} before and after`,
        ]
      : [];
  return { frames, step, notes };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/**
 * How many frames have a neighbour: a frame whose number is one step or a sample's stride away.
 * @param numbers rising
 */
export function framesWithNeighbour(numbers: readonly number[], step: number): number {
  const all = new Set(numbers);
  const offsets = [-sampleStride, -1, 1, sampleStride];
  return numbers.filter((number) => offsets.some((offset) => all.has(number + offset * step))).length;
}

/** A date and a clock time: 2024-05-01T10-00-50Z, 20240501_100050, 20240501100050123 (ms). */
const DATED =
  /(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])[T _.-]{0,3}([01]\d|2[0-3])[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:[.,](\d{1,9})|[-_]?(\d{3}|\d{6}|\d{9}))?(?!\d)/i;
/** Seconds since 1970 with a fraction, or milli-, micro- or nanoseconds, from 2001 to 2096. */
const UNIX = /(?<!\d)([1-3]\d{9})(?:\.(\d{1,9})|_?(\d{3}|\d{6}|\d{9}))?(?!\d)/;
/** A clock time alone: 10-00-50, 10.00.50.250. */
const CLOCK = /(?<!\d)([01]\d|2[0-3])[-_.:h]([0-5]\d)[-_.:m]([0-5]\d)(?:[.,](\d{1,9})|[-_](\d{3}|\d{6}))?(?!\d)/i;

/**
 * The times that names hold, in nanoseconds; undefined unless all of them hold one of one kind.
 * @param kind whether a clock without a date will do
 */
function timesOf(named: readonly Name[], kind: "dated" | "any"): bigint[] | undefined {
  const readers = kind === "any" ? [datedTime, unixTime, clockTime] : [datedTime, unixTime];
  for (const reader of readers) {
    const times: bigint[] = [];
    for (const { stem } of named) {
      const time = reader(stem);
      if (time === undefined) break;
      times.push(time);
    }
    if (times.length === named.length) return times;
  }
  return undefined;
}

function datedTime(stem: string): bigint | undefined {
  const match = DATED.exec(stem);
  if (!match) return undefined;
  const [year, month, day, hours, minutes, seconds] = match.slice(1, 7).map(Number);
  const whole = Date.UTC(year, month - 1, day, hours, minutes, seconds);
  return BigInt(whole) * 1_000_000n + nanoseconds(match[7] ?? match[8]);
}

function unixTime(stem: string): bigint | undefined {
  const match = UNIX.exec(stem);
  return match ? BigInt(match[1]) * 1_000_000_000n + nanoseconds(match[2] ?? match[3]) : undefined;
}

function clockTime(stem: string): bigint | undefined {
  const match = CLOCK.exec(stem);
  if (!match) return undefined;
  const [hours, minutes, seconds] = match.slice(1, 4).map(Number);
  return BigInt((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000n + nanoseconds(match[4] ?? match[5]);
}

/** @param fraction decimals of a second */
function nanoseconds(fraction = ""): bigint {
  return BigInt(fraction.padEnd(9, "0"));
}
