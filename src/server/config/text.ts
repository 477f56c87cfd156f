// The text of a configuration as plain values, and where in the text each of them stands.
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from "yaml";
import { InputError } from "../../errors.js";
import { type Environment, expandVariables } from "./secrets.js";

/** Characters. */
const LONGEST = 1_000_000;
/** Values that aliases may make of a file: they can double with every line. */
const MOST_VALUES = 20_000;
const DEEPEST = 16;

/** The keys and indices that lead to a value. */
export type Path = readonly PropertyKey[];

/** Something that is wrong. */
export interface Problem {
  path: Path;
  message: string;
  /** It is the key that is wrong, not its value. */
  ofKey?: boolean;
  /** Where in the text, if its path does not say so. */
  offset?: number;
}

/** Where a value stands in the text, and what stands there. */
interface Place {
  /** Offset of its key, if it has one. */
  key?: number;
  offset: number;
  /** Of text: as it is written, with its variables. */
  written?: string;
  /** Of a map: its keys in order. */
  keys?: readonly string[];
}

/** A configuration as values. */
export interface ConfigValues {
  value: unknown;
  problems: Problem[];
  /** The values of variables that were filled in, by the texts that hold them now. */
  variables: ReadonlyMap<string, readonly string[]>;
  /** The text at a path as it is written, with its variables. */
  writtenAt(path: Path): string | undefined;
  /** The keys of the map at a path, in the order of the text. (Objects put whole numbers first.) */
  keysAt(path: Path): readonly string[];
}

/** The same with places in its text. */
export interface ConfigText extends ConfigValues {
  /** Line and column of a problem, from 1. What is missing stands where its parent does. */
  placeOf(problem: Problem): { line: number; column: number };
}

/**
 * Reads YAML, and fills in the variables of the environment. Nothing is thrown: what is wrong is
 * in `problems`. If the text is no YAML, that is one problem, and the value is undefined.
 */
export function readConfigText(text: string, environment: Environment): ConfigText {
  const lines = new LineCounter();
  const reader = new Reader(environment);
  const value =
    text.length > LONGEST ? reader.report([], "this file is larger than 1 MB", 0) : reader.read(text, lines);
  const { problems, variables, places } = reader;
  return {
    value,
    problems,
    variables,
    writtenAt: (path) => places.get(nameOf(path))?.written,
    keysAt: (path) => places.get(nameOf(path))?.keys ?? [],
    placeOf: (problem) => {
      const { line, col } = lines.linePos(problem.offset ?? offsetOf(problem, places));
      return { line: Math.max(line, 1), column: Math.max(col, 1) };
    },
  };
}

const nameOf = (path: Path): string => JSON.stringify(path.map(String));

function offsetOf({ path, ofKey = false }: Problem, places: ReadonlyMap<string, Place>): number {
  const place = places.get(nameOf(path));
  if (place) return (ofKey ? place.key : undefined) ?? place.offset;
  return path.length === 0 ? 0 : offsetOf({ path: path.slice(0, -1), ofKey: true, message: "" }, places);
}

/** Turns the nodes of a document into plain values. */
class Reader {
  readonly problems: Problem[] = [];
  readonly variables = new Map<string, readonly string[]>();
  readonly places = new Map<string, Place>();
  private readonly anchors = new Map<string, Node>();
  private count = 0;

  constructor(private readonly environment: Environment) {}

  report(path: Path, message: string, offset?: number): undefined {
    this.problems.push({ path, message, offset });
  }

  read(text: string, lines: LineCounter): unknown {
    // The parser would end the process.
    if (isDeep(text)) return this.report([], "this file is nested too deeply", 0);
    const document = parseDocument(withHiddenBraces(text), {
      lineCounter: lines,
      // Its messages would quote the line, which may hold a password.
      prettyErrors: false,
      // It compares every key with every other one. Reader.map does it faster.
      uniqueKeys: false,
      stringKeys: true,
    });
    // Other warnings are about looks, such as a } at the start of a line.
    const wrong = document.errors[0] ?? document.warnings.find(({ code }) => code === "TAG_RESOLVE_FAILED");
    if (wrong) {
      const reason = syntaxReason(wrong.code, wrong.message);
      return this.report([], `this is not valid YAML: ${reason}`, quoteAt(document, wrong.pos[0]));
    }
    try {
      return this.value(document.contents, []);
    } catch (error) {
      if (error instanceof InputError) return undefined;
      throw error;
    }
  }

  /** Ends the reading. */
  private giveUp(path: Path, message: string): never {
    this.report(path, message);
    throw new InputError(message);
  }

  /** @param key offset of its key */
  private value(node: Node | null, path: Path, key?: number): unknown {
    const offset = node?.range?.[0] ?? key ?? 0;
    const place: Place = { key, offset };
    this.places.set(nameOf(path), place);
    if (++this.count > MOST_VALUES) this.giveUp([], `this file holds more than ${MOST_VALUES} values`);
    if (path.length > DEEPEST) this.giveUp([], `this file is nested more than ${DEEPEST} levels deep`);
    if (isAlias(node)) return this.alias(node.source, path, key, offset);
    const value = this.plain(node, path, place);
    if (node && "anchor" in node && node.anchor) this.anchors.set(node.anchor, node);
    return value;
  }

  private alias(name: string, path: Path, key: number | undefined, offset: number): unknown {
    const node = this.anchors.get(name);
    if (!node) return this.report(path, "no anchor of this name is defined above", offset);
    return this.value(node, path, key);
  }

  private plain(node: Node | null, path: Path, place: Place): unknown {
    if (isMap<Node, Node | null>(node)) return this.map(node.items, path, place);
    if (isSeq<Node | null>(node)) return node.items.map((item, i) => this.value(item, [...path, i]));
    if (!isScalar(node)) return null;
    if (typeof node.value !== "string") {
      // A value that is empty ends where the next line begins.
      if (node.value === null && place.key !== undefined) place.offset = place.key;
      return node.value;
    }
    place.written = withBraces(node.value);
    return this.text(place.written, path);
  }

  private map(items: readonly { key: Node; value: Node | null }[], path: Path, place: Place): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    const seen = new Set<string>();
    for (const { key, value } of items) {
      const name = isScalar(key) ? withBraces(String(key.value)) : "";
      const offset = key.range?.[0] ?? 0;
      const inside = [...path, name];
      if (seen.has(name)) this.report(inside, "this key stands here a second time", offset);
      else if (/^(__proto__|constructor)$/.test(name)) this.report(inside, "this name is not allowed", offset);
      else map[name] = this.value(value, inside, offset);
      seen.add(name);
    }
    place.keys = [...seen];
    return map;
  }

  private text(written: string, path: Path): string {
    if (!written.includes("${")) return written;
    try {
      const { text, values } = expandVariables(written, this.environment);
      this.variables.set(text, [...(this.variables.get(text) ?? []), ...values]);
      return text;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.report(path, error.message);
      return written;
    }
  }
}

/** Whether a text may be nested so deeply that parsing it takes all of the stack. */
function isDeep(text: string): boolean {
  let depth = 0;
  for (const [sign] of text.matchAll(/[[\]{}]/g)) {
    depth = Math.max(0, depth + (sign === "[" || sign === "{" ? 1 : -1));
    if (depth > 100) return true;
  }
  return /^[ \t]{200}|^ *(?:[-?:][ \t]+){100}/m.test(text);
}

/** Where the quoted text begins that ends at an offset; else the offset. */
function quoteAt(document: Document.Parsed, offset: number): number {
  let start = offset;
  visit(document, {
    Scalar: (_, { range, type }) => {
      if (range && type?.startsWith("QUOTE") && range[0] < offset && offset <= range[2]) start = range[0];
    },
  });
  return start;
}

// In { token: ${TOKEN} } the braces of the variable would end the text for YAML. While the text is
// parsed, two characters that Unicode gives no meaning to stand for them. Positions stay the same.
const [OPEN, CLOSE] = ["\ufdd0", "\ufdd1"];
// Of "${NAME@host" }, where one is missing, the brace at the end is the map's own.
const withHiddenBraces = (text: string): string => text.replace(/\$\{(\w*)\}/g, `$$${OPEN}$1${CLOSE}`);
const withBraces = (text: string): string => text.replaceAll(OPEN, "{").replaceAll(CLOSE, "}");

/** By what the parser says, in this order; its own words may repeat the text. */
const reasons: readonly [RegExp, string][] = [
  [/TAB_AS_INDENT/, "a tab indents this line; use spaces"],
  [/closing .quote/, "a quotation mark is not closed"],
  [/between flow|Missing space after :/, "a comma, or a colon with a space, is missing between { } or [ ]"],
  [
    /must be sufficiently indented|and end with|BAD_INDENT.*flow/i,
    "a { or [ is not closed, or the lines within it are not indented",
  ],
  [/BAD_INDENT/, "this line is not indented as those above it"],
  [/Nested mappings/, 'a second colon is on this line; put text that holds ": " in quotes'],
  [/followed by map values|MULTILINE_IMPLICIT_KEY/, "a key needs a colon and a space behind it: key: value"],
  [/MULTIPLE_DOCS/, "a second document begins here; a file holds one"],
  [/BAD_SCALAR_START/, "text must not begin with this sign; put it in quotes"],
  [/BAD_DQ_ESCAPE/, "the text in double quotes holds an unknown \\ sequence; write \\\\ or use single quotes"],
  [/TAG/, "tags, such as !name, are not known here"],
  [/NON_STRING_KEY/, "a key must be plain text"],
  [/RESOURCE_EXHAUSTION/, "it is nested too deeply"],
  [/ALIAS|ANCHOR/, "an anchor (&name) or alias (*name) is wrong here; put text that begins with & or * in quotes"],
];

function syntaxReason(code: string, message: string): string {
  const found = reasons.find(([pattern]) => pattern.test(`${code}: ${message}`));
  return found?.[1] ?? "this sign is not expected here; put text with special characters in quotes";
}
