// Secrets: how they come into the configuration, and how they stay out of logs.
import { readFileSync, statSync } from "node:fs";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";
import { withoutLogins } from "../../node/media/address.js";

/** Bytes; shorter secrets are taken out only where they are words of their own. */
const LONG = 8;
/** Bytes; shorter secrets are not looked for in texts, because they stand in many words. */
const SHORTEST = 4;
/** Bytes of a file with a secret. */
const LARGEST_FILE = 4096;

/** The variables of an environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A text with its variables filled in. */
export interface Expanded {
  text: string;
  /** The values that were filled in. */
  values: readonly string[];
}

/**
 * Fills in variables: `${NAME}` stands for a variable of the environment, `$${` for a plain `${`.
 * Values are not expanded again. Within the login of an address they are percent-encoded, so that a
 * password may hold any sign.
 * @throws InputError if a variable is not set or empty, or if `${…}` holds no name of a variable
 */
export function expandVariables(text: string, environment: Environment): Expanded {
  const values: string[] = [];
  const loginEnd = /^[a-z][a-z\d+.-]*:\/\/[^/?#]*@/i.exec(text)?.[0].length ?? 0;
  const expanded = text.replace(/\$\$\{|\$\{([^{}]*)\}?/g, (found, name: string, at: number) => {
    if (found === "$${") return "${";
    if (!/^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(found)) {
      throw new InputError(`\${ } must hold the name of an environment variable; for a plain \${ write $\${`);
    }
    const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
    if (!value) {
      throw new InputError(`the environment variable ${name} is ${value === undefined ? "not set" : "empty"}`);
    }
    values.push(value);
    return at < loginEnd ? encodeURIComponent(value) : value;
  });
  return { text: expanded, values };
}

/**
 * Reads a secret from a file, such as one of /run/secrets, without its last line break.
 * @throws InputError with the reason alone, if it cannot be read or is larger than 4096 bytes
 */
export function readSecretFile(path: string): string {
  try {
    const info = statSync(path);
    if (info.isDirectory()) throw new Error("it is a folder");
    // A pipe or a device might never end.
    if (!info.isFile()) throw new Error("it is not a file");
    if (info.size > LARGEST_FILE) throw new Error(`it is larger than ${LARGEST_FILE} bytes`);
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new InputError(reasonOf(error));
  }
}

/**
 * What takes secrets and logins out of texts: each secret becomes "…", whether it is written as it
 * is, percent-encoded, percent-decoded, or as in JSON; and so does what stands between `://` and
 * `@`. Secrets of fewer than 4 bytes are found in logins only.
 * @param secrets raw or percent-encoded
 */
export function scrubber(secrets: readonly string[]): (text: string) => string {
  const patterns = [...new Set(secrets.flatMap(writings))].filter((pattern) => pattern.length >= SHORTEST);
  if (patterns.length === 0) return withoutLogins;
  // Secrets first: a password with a blank ends an address for withoutLogins.
  return (text) => withoutLogins(without(text, patterns));
}

/** The secrets of a process: those of cameras that are gone may still be in the log. */
export class KnownSecrets {
  private texts: readonly string[] = [];
  private scrubKnown = withoutLogins;

  /** @param secrets see {@link scrubber} */
  constructor(secrets: readonly string[]) {
    this.add(secrets);
  }

  get all(): readonly string[] {
    return this.texts;
  }

  add(secrets: readonly string[]): void {
    this.texts = [...new Set([...this.texts, ...secrets])];
    this.scrubKnown = scrubber(this.texts);
  }

  /** Takes secrets and logins out of a text. */
  readonly scrub = (text: string): string => this.scrubKnown(text);
}

/** How a secret may stand in bytes that were decoded. */
function writings(secret: string): string[] {
  const inJson = JSON.stringify(secret).slice(1, -1);
  const plain = [decoded(secret).bytes, utf8(secret), utf8(inJson)];
  // Forms write "+" for a blank.
  return plain.flatMap((text) => [text, text.replaceAll(" ", "+")]);
}

/** UTF-8 as a string of bytes. */
const utf8 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/**
 * A text as bytes, percent-decoded.
 * @returns `starts`: where in the text each byte comes from, and at last the text's length
 */
function decoded(text: string): { bytes: string; starts: number[] } {
  let bytes = "";
  const starts: number[] = [];
  for (const { 0: part, index } of text.matchAll(/%[\da-f]{2}|[\s\S]/giu)) {
    const piece = part.length === 3 ? String.fromCharCode(Number.parseInt(part.slice(1), 16)) : utf8(part);
    for (const byte of piece) {
      bytes += byte;
      starts.push(index);
    }
  }
  starts.push(text.length);
  return { bytes, starts };
}

function without(text: string, patterns: readonly string[]): string {
  const { bytes, starts } = decoded(text);
  const found = patterns.flatMap((pattern) => rangesOf(bytes, pattern)).sort((a, b) => a.start - b.start);
  let clean = "";
  let end = 0;
  for (const range of found) {
    // Secrets that overlap are one gap.
    if (range.start >= end) clean += `${text.slice(starts[end], starts[range.start])}…`;
    end = Math.max(end, range.end);
  }
  return clean + text.slice(starts[end]);
}

const isLetter = (byte: string | undefined): boolean => byte !== undefined && /[a-z0-9]/i.test(byte);

function rangesOf(bytes: string, pattern: string): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) {
    const end = at + pattern.length;
    // A password such as "2026" or "cam" must not take times and names apart.
    const isWord = !isLetter(bytes[at - 1]) && !isLetter(bytes[end]);
    if (pattern.length >= LONG || isWord) ranges.push({ start: at, end });
  }
  return ranges;
}
