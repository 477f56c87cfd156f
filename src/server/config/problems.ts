// What is wrong with a configuration, in words: one line per problem.
import type { z } from "zod";
import { counted } from "../../counted.js";
import { oneLine } from "../../node/files/messages.js";
import type { ConfigText, ConfigValues, Path, Problem } from "./text.js";

/** Lines; the others are counted. */
const MOST_LINES = 30;
/** Their values, and all below them, are never shown. */
const hidden = new Set<PropertyKey>([
  "password",
  "secret",
  "token",
  "user",
  "url",
  "source",
  "record",
  "headers",
  "run",
]);

/** Keys of a camera that have no defaults. */
const ofOneCamera = new Set(["source", "record", "name", "zones", "ignore", "privacy"]);

type Issue = z.core.$ZodIssue;
type Values = Pick<ConfigValues, "value" | "writtenAt">;

/** The problems that zod found. @param read the values that it checked */
export function problemsOf(issues: readonly Issue[], read: Values): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, [], read));
}

function problemsOfIssue(issue: Issue, above: Path, read: Values): Problem[] {
  const path = [...above, ...issue.path];
  switch (issue.code) {
    case "custom":
      return [{ path, message: issue.message }];
    case "unrecognized_keys":
      return issue.keys.map((key) => {
        return { path: [...path, key], ofKey: true, message: unknownKey(key, path, issue.message) };
      });
    case "invalid_key":
      return [{ path, ofKey: true, message: issue.message }];
    case "invalid_union": {
      const meant = meantBranch(issue.errors);
      if (meant) return meant.flatMap((inner) => problemsOfIssue(inner, path, read));
    }
  }
  return [{ path, message: mismatch(path, issue, read) }];
}

/** The one kind of value that was meant: what was found has its type. */
function meantBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const isOther = ({ path, code }: Issue): boolean =>
    path.length === 0 && (code === "invalid_type" || code === "invalid_value");
  const fitting = branches.filter((issues) => !issues.some(isOther));
  return fitting.length === 1 ? fitting[0] : undefined;
}

function mismatch(path: Path, { message }: Issue, read: Values): string {
  const value = valueAt(read.value, path);
  if (value === undefined) return `is missing: it must be ${message}`;
  const isEmpty = value === null || value === "" || (Array.isArray(value) && value.length === 0);
  if (isEmpty) return `${path.length === 0 ? "this file " : ""}is empty: it must be ${message}`;
  // What stands where a map or a list should be may be anything, such as two keys in one line.
  const isHidden = path.some((part) => hidden.has(part)) || /\ba (map|list)\b/.test(message);
  const shown = isHidden ? kindOf(value) : shownValue(value, read.writtenAt(path));
  return `${shown} is not ${message}${hintFor(value, message)}`;
}

/** What to do about the usual mistakes. */
function hintFor(value: unknown, message: string): string {
  if (message === "text" && /number|boolean/.test(typeof value)) return "; put it in quotes";
  if (/\ba map\b/.test(message) && typeof value === "string" && /^\w+:(?!\/\/)\S/.test(value)) {
    return "; a colon needs a space behind it";
  }
  return "";
}

/** The value at a path within another one; undefined if there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inside, key) => {
    return typeof inside === "object" && inside !== null && Object.hasOwn(inside, key)
      ? (inside as Record<PropertyKey, unknown>)[key]
      : undefined;
  }, value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return typeof value === "string" ? "this text" : `a ${typeof value}`;
}

/** @param written text as it is in the file: variables may hold secrets */
function shownValue(value: unknown, written: string | undefined): string {
  if (typeof value === "object") return kindOf(value);
  if (typeof value !== "string") return String(value);
  return quoted(written ?? value);
}

/** Text in one line. Of an address no more than its scheme is shown: it may hold a password. */
function quoted(text: string): string {
  const address = /\b[a-z][a-z\d+.-]*:\/\//i.exec(text)?.[0];
  // With an "@" alone it may be a piece of an address, after a slip of the keyboard.
  const line = address !== undefined ? `${address}...` : text.includes("@") ? "..." : oneLine(text);
  return `"${line.length > 40 ? `${line.slice(0, 40)}...` : line}"`;
}

function unknownKey(key: string, above: Path, known: string): string {
  if (above.length === 1 && above[0] === "defaults" && ofOneCamera.has(key)) {
    return "this key belongs to each camera; it has no default";
  }
  const allowed = known.split(" ");
  const near = allowed.map((name) => ({ name, distance: distance(key.toLowerCase().replaceAll("-", "_"), name) }));
  const [nearest] = near.sort((a, b) => a.distance - b.distance);
  if (nearest.distance <= Math.max(1, nearest.name.length / 3)) return `unknown key; did you mean ${nearest.name}?`;
  return `unknown key; allowed are ${allowed.join(", ")}`;
}

/** How many signs must be changed, added or removed to make one word of another (Levenshtein). */
function distance(a: string, b: string): number {
  if (a.length > 40) return a.length;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, sign] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (sign === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** A path as it is shown: `cameras.front.ignore[0]`. */
export function shownPath(path: Path): string {
  const parts = path.map((part) => {
    if (typeof part === "number") return `[${part}]`;
    const key = String(part);
    return `.${/^[\w-]{1,60}$/.test(key) ? key : quoted(key)}`;
  });
  return parts.join("").replace(/^\./, "");
}

/**
 * One line per problem, in the order of the text: `FILE:LINE:COLUMN: path: what is wrong`.
 * @param file as the messages name it
 */
export function problemLines(problems: readonly Problem[], read: ConfigText, file: string): string[] {
  const placed = problems.map((problem) => ({ ...problem, ...read.placeOf(problem) }));
  placed.sort((a, b) => a.line - b.line || a.column - b.column);
  const all = placed.map(({ line, column, path, message }) => {
    const where = path.length > 0 ? `${shownPath(path)}: ` : "";
    return `${oneLine(file)}:${line}:${column}: ${where}${message}`;
  });
  const lines = [...new Set(all)];
  const left = lines.length - MOST_LINES;
  if (left > 0) lines.splice(MOST_LINES, left, `${oneLine(file)}: and ${counted(left, "more problem")}`);
  return lines;
}
