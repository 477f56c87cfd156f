// The kinds of values in a configuration. A message of theirs is what a value should be: it stands
// behind "VALUE is not".
import { z } from "zod";
import { InputError } from "../../errors.js";
import { checkPolygon } from "../../watch/zones.js";
import { listed } from "./address.js";
import { bytesPattern, durationPattern, parseBytes, parseDuration } from "./units.js";

/** Ids of cameras, and names of zones and sinks: they stand in topics, paths and addresses. */
export const idPattern = /^[a-z0-9][a-z0-9_-]{0,39}$/;
const idText = "1 to 40 of a-z, 0-9, _ and -, beginning with a letter or a digit";
/** Characters. */
const LONGEST = 4096;

/** Says what a value should be. @returns what the caller returns */
function refuse(context: z.RefinementCtx, what: string): never {
  context.addIssue({ code: "invalid_value", values: [], message: what });
  return z.NEVER;
}

/**
 * A value that is read further.
 * @param what it should be
 * @param parse returns undefined if it is something else; an InputError says more
 */
export function read<Schema extends z.ZodType, Out>(
  schema: Schema,
  what: string,
  parse: (value: z.output<Schema>) => Out | undefined,
) {
  return schema.transform((value, context): Out => {
    try {
      return parse(value) ?? refuse(context, what);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

/** Keys and their values; other keys are refused. */
export function map<Shape extends z.ZodRawShape>(shape: Shape, what: string) {
  const keys = Object.keys(shape).join(" ");
  return z.strictObject(shape, { error: ({ code }) => (code === "unrecognized_keys" ? keys : what) });
}

/** Text in one line. */
export const text = (what = "text") =>
  z
    .string({ error: what })
    .min(1, { error: what })
    .refine((value) => value.length <= LONGEST, {
      error: `this text is longer than ${LONGEST} characters`,
      abort: true,
    })
    .refine(isLine, { error: "this text holds a line break or a control character", abort: true });

const isLine = (value: string): boolean => /^\P{Cc}*$/u.test(value);

/** The name of a camera, a zone or a sink, as topics, paths and addresses hold it. */
export const id = () => z.string({ error: idText }).regex(idPattern, { error: idText });

/** Values by names of one's own. @param what they are */
export const named = <Value extends z.ZodType>(value: Value, what: string) =>
  z.record(id(), value, { error: ({ code }) => (code === "invalid_key" ? `a name must be ${idText}` : what) });

/** Refuses a usual mistake, before the value is read. @param isMistake of what is in the file */
const without = <Schema extends z.ZodType>(schema: Schema, isMistake: (value: unknown) => boolean, message: string) =>
  z.preprocess((value, context) => {
    if (!isMistake(value)) return value;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }, schema);

const isList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;
const isPoint = (value: unknown): boolean => isList(value) && value.every((part) => typeof part === "number");

/** A number in a range. */
export function number(least: number, most: number, what = `a number from ${least} to ${most}`) {
  return z.number({ error: what }).min(least, { error: what }).max(most, { error: what });
}

/** A number above 0. */
export const positive = (what = "a number above 0") => z.number({ error: what }).positive({ error: what });

/** One of some words. */
export function choice<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: listed(words) });
}

/** True or false. */
export const flag = () =>
  z
    .union([z.boolean(), z.enum(["on", "off"])], { error: "true or false" })
    .transform((value) => value === true || value === "on");

/** Something that can be switched off, which becomes "off". */
export const orOff = <Schema extends z.ZodType>(schema: Schema, what: string) =>
  z
    .union([z.literal("off"), z.literal(false), schema], { error: `off or ${what}` })
    .transform((value) => (value === false ? "off" : (value as "off" | z.output<Schema>)));

/** A time, in seconds. @param most with its unit */
export function duration(least: string, most: string) {
  const what = `a time from ${least} to ${most}, such as "500 ms", "2 s" or "5 min", or a number of seconds`;
  const [low, high] = [parseDuration(least) ?? 0, parseDuration(most) ?? Number.POSITIVE_INFINITY];
  return read(quantity(durationPattern, what), what, (value) => {
    const seconds = parseDuration(value);
    return seconds !== undefined && seconds >= low && seconds <= high ? seconds : undefined;
  });
}

/** Bytes of the smallest size that is no slip, such as a unit that was left out. */
const LEAST_SIZE = 1e6;

/** A size in bytes: 0, or at least 1 MB. */
export function bytes() {
  const what = 'a size such as "20 GB" or "500 MB", or a number of bytes';
  return read(quantity(bytesPattern, what), what, (value) => {
    const size = parseBytes(value);
    if (size === undefined || size === 0 || size >= LEAST_SIZE) return size;
    throw new InputError('this is less than 1 MB; give a size with its unit, such as "20 GB" or "500 MB"');
  });
}

const quantity = (pattern: RegExp, what: string) =>
  z.union([z.number({ error: what }).min(0, { error: what }), z.string().regex(pattern, { error: what })], {
    error: what,
  });

/** The size of a picture, WIDTHxHEIGHT in pixels. */
export function pictureSize() {
  const what = "a size in pixels from 32x32 to 4096x4096, such as 480x270";
  return read(z.string({ error: what }), what, (value) => {
    const [, width, height] = (/^(\d{2,4})x(\d{2,4})$/.exec(value) ?? []).map(Number);
    return [width, height].every((side) => side >= 32 && side <= 4096) ? { width, height } : undefined;
  });
}

const share = () => number(0, 1, "a share of the width or height from 0 to 1");

/** The corners of an area. */
export function polygon() {
  const what = "a polygon: at least 3 points [x, y]";
  const point = z.tuple([share(), share()], { error: "a point [x, y]" });
  const points = z
    .array(point, { error: what })
    .min(3, { error: what })
    .max(100, { error: "a list of at most 100 points" });
  const area = read(points, what, (corners) => {
    checkPolygon(corners, "this polygon");
    return corners;
  });
  const isNested = (value: unknown) => isList(value) && isList(value[0]) && isList(value[0][0]);
  return without(area, isNested, "there is a pair of brackets too many: [[x, y], [x, y], [x, y]]");
}

/** Areas. */
export function polygons() {
  const example = "[[[x, y], [x, y], [x, y]]]";
  const all = z
    .array(polygon(), { error: `a list of polygons: ${example}` })
    .max(100, { error: "a list of at most 100 polygons" });
  const isSingle = (value: unknown) => isList(value) && value.every(isPoint);
  return without(all, isSingle, `this is one polygon; put it in brackets: ${example}`);
}

/** Rectangles [x, y, width, height] within the frame. */
export function rectangles() {
  const what = "a rectangle [x, y, width, height]";
  const sides = z.tuple([share(), share(), share(), share()], { error: what });
  const rectangle = read(sides, what, ([x, y, width, height]) => {
    // 0.7 + 0.3 may be a little more than 1.
    const isInside = width > 0 && height > 0 && x + width <= 1 + 1e-9 && y + height <= 1 + 1e-9;
    if (isInside) return { x, y, width, height };
    throw new InputError("this rectangle is empty, or x + width or y + height is above 1");
  });
  const example = "[[x, y, width, height]]";
  const all = z
    .array(rectangle, { error: `a list of rectangles: ${example}` })
    .max(100, { error: "a list of at most 100 rectangles" });
  return without(all, isPoint, `this is one rectangle; put it in brackets: ${example}`);
}

/** A list with at least one item. */
export const list = <Item extends z.ZodType>(item: Item, what: string) =>
  z.array(item, { error: what }).min(1, { error: what }).max(1000, { error: "a list of at most 1000 items" });
