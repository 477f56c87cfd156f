// Names what a file is that was taken for a checkpoint, labels or an image: a download that went
// wrong, or another format.

import { shown } from "./text.js";

/** Bytes that are looked at. Larger texts are told by their beginning. */
export const maxTextBytes = 65_536;

/** Formats by their first bytes, in Latin-1. */
const signatures: readonly [string, string][] = [
  ["\x1f\x8b", "a gzip archive; unpack it first"],
  ["BZh", "a bzip2 archive; unpack it first"],
  ["\xfd7zXZ\0", "an xz archive; unpack it first"],
  ["\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"],
  ["7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"],
  ["Rar!\x1a\x07", "a RAR archive; unpack it first"],
  ["\x89HDF\r\n\x1a\n", "an HDF5 file (perhaps Keras weights), which is not supported"],
  ["GGUF", "a GGUF file, which is not supported"],
  ["\x93NUMPY", "a NumPy array, not a checkpoint"],
  ["%PDF-", "a PDF document, not a checkpoint"],
  ["\x89PNG\r\n\x1a\n", "a PNG image, not a checkpoint"],
  ["\xff\xd8\xff", "a JPEG image, not a checkpoint"],
];

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** The beginning of a file as text. Undefined if it is not text. */
function textOf(bytes: Uint8Array): string | undefined {
  const head = bytes.subarray(0, maxTextBytes);
  const encoding =
    head[0] === 0xff && head[1] === 0xfe ? "utf-16le" : head[0] === 0xfe && head[1] === 0xff ? "utf-16be" : "utf-8";
  const text = new TextDecoder(encoding).decode(head);
  // Control characters other than tab, line feed, form feed, carriage return and escape.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  if (/[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(text)) return undefined;
  // A page in another 8-bit encoding gives a few replacement characters; other data gives many.
  const replaced = text.split("\ufffd").length - 1;
  return replaced > text.length / 20 + 1 ? undefined : text.trim();
}

/** A text's words in one line, quoted. */
function quoted(text: string): string {
  return shown(text.replace(/\s+/g, " ").trim());
}

function pageTitle(text: string): string {
  const title = /<title[^>]{0,200}>([^<]{0,1000})<\/title/i.exec(text)?.[1] ?? "";
  return title.trim() === "" ? "" : ` (${quoted(title)})`;
}

/** What a JSON answer of a server says, in the fields that servers use. */
function jsonMessage(value: unknown, depth = 0): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || depth > 3) return undefined;
  for (const key of ["error_description", "message", "error", "errors", "detail", "title", "0"]) {
    const message = Object.hasOwn(value, key)
      ? jsonMessage((value as Record<string, unknown>)[key], depth + 1)
      : undefined;
    if (message !== undefined) return message;
  }
  return undefined;
}

/** The value of a JSON text; undefined if it is none. */
function parsedJson(text: string): unknown {
  try {
    return /^[{[]/.test(text) ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/** A text without comments and an XML declaration, with which a page may begin. */
const markupOf = (text: string) => text.replace(/^(\s|<!--[\s\S]*?-->|<\?[^>]*\?>)*/, "");

function describeStandInText(text: string): string | undefined {
  if (/^version https?:\/\/[^\s]*\/spec\/v?\d/.test(text) && /^oid /m.test(text)) {
    const size = /^size (\d{1,15})\s*$/m.exec(text)?.[1];
    const real = size === undefined ? "" : ` (${size} bytes)`;
    return `a Git LFS pointer, not the file itself${real}; run "git lfs pull" in its repository`;
  }
  if (/^(\.\.\/|\.\/)*(\.git\/|\/)annex\/objects\//.test(text)) {
    return 'a git-annex pointer, not the file itself; run "git annex get" in its repository';
  }
  const markup = markupOf(text);
  if (/^<(!doctype\s+html|html|head|body|title|meta|script)\b/i.test(markup)) {
    return `a web page${pageTitle(text)}, not the file itself; download it again, logged in or by the direct link`;
  }
  if (/^<\w/.test(markup)) {
    const message =
      /<message>([^<]{0,1000})<\/message/i.exec(text)?.[1] ?? /<code>([^<]{0,1000})<\/code/i.exec(text)?.[1];
    return message === undefined ? undefined : `a server's answer in XML, not the file itself: ${quoted(message)}`;
  }
  const value = parsedJson(text);
  const message = typeof value === "object" ? jsonMessage(value) : undefined;
  return message === undefined ? undefined : `a server's answer in JSON, not the file itself: ${quoted(message)}`;
}

function describeText(text: string): string {
  const standIn = describeStandInText(text);
  if (standIn !== undefined) return standIn;
  const markup = markupOf(text);
  if (/^<\w/.test(markup)) return `XML, not a checkpoint; it begins ${quoted(markup.slice(0, 200))}`;
  const kind = parsedJson(text) === undefined ? "a text" : "JSON";
  return `${kind}, not a checkpoint; it begins ${quoted(text.slice(0, 200))}`;
}

/**
 * What lies in the place of a file that was not downloaded, as the end of a message: a pointer of
 * Git LFS or git-annex, a web page, a server's answer. Undefined for anything else.
 */
export function describeStandIn(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes);
  return text === undefined ? undefined : describeStandInText(text);
}

/** Whether a file's bytes are a JSON text of an object or a list; a long one is not looked at. */
export function isJson(bytes: Uint8Array): boolean {
  return bytes.length < maxTextBytes && parsedJson(textOf(bytes) ?? "") !== undefined;
}

/**
 * What a file is that is neither a PyTorch checkpoint nor safetensors, as the end of a message:
 * "the file is empty". Undefined if its bytes do not tell.
 */
export function describeForeign(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return "the file is empty";
  if (bytes.every((byte) => byte === 0)) {
    return `${bytes.length} bytes, all of them 0; was the download not completed?`;
  }
  const head = latin1(bytes.subarray(0, 512));
  const known = signatures.find(([signature]) => head.startsWith(signature));
  if (known) return known[1];
  const text = textOf(bytes);
  return text === undefined || text === "" ? undefined : describeText(text);
}
