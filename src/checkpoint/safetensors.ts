// Reads and writes safetensors files. The format, https://huggingface.co/docs/safetensors: the
// header's length in 8 bytes (little-endian), the header as JSON, the data.

import { InputError } from "../errors.js";
import { describeForeign } from "./foreign.js";
import { type DType, decodeTensor, elementBytes, elementCount, encodeTensor, type StoredTensor } from "./tensor.js";
import { shown, shownShape } from "./text.js";

/** The format's own limit. */
const maxHeaderBytes = 100_000_000;

/** A file's content. */
export interface Safetensors {
  metadata: Record<string, string>;
  tensors: Map<string, StoredTensor>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isDType(value: unknown): value is DType {
  return typeof value === "string" && Object.hasOwn(elementBytes, value);
}

/** Whether the bytes begin like a safetensors file. Does not check the rest. */
export function looksLikeSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length < 10 || bytes[8] !== 0x7b) return false;
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return headerBytes <= BigInt(maxHeaderBytes);
}

/** Throws the InputError for a damaged file. */
type Fail = (what: string) => never;

/** Where a tensor lies in the file's data, in bytes. */
interface Span {
  name: string;
  dtype: DType;
  shape: number[];
  begin: number;
  end: number;
}

/**
 * Reads a safetensors file. Checks all of it: the header, element types, and that the tensors cover
 * the data exactly, without overlap or gap. Tensors are views of `bytes` if they are aligned. F16
 * and BF16 become Float32Array.
 * @param name the file's name, for messages
 * @throws InputError if anything is wrong with the file
 */
export function parseSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const fail: Fail = (what) => {
    throw new InputError(`${name}: not a valid safetensors file: ${what}`);
  };
  if (!looksLikeSafetensors(bytes)) {
    const foreign = describeForeign(bytes);
    if (foreign !== undefined) throw new InputError(`${name}: ${foreign}`);
  }
  const { header, data } = readHeader(bytes, fail);
  checkLength(header, data.length, fail);
  let metadata: Record<string, string> = {};
  const spans: Span[] = [];
  for (const [key, value] of Object.entries(header)) {
    if (!isRecord(value)) return fail(`the header's entry ${shown(key)} is not an object`);
    if (key === "__metadata__") metadata = readMetadata(value, fail);
    else spans.push(readSpan(key, value, data.length, fail));
  }
  checkCoverage(spans, data.length, fail);

  const tensors = new Map<string, StoredTensor>();
  for (const { name: key, dtype, shape, begin, end } of spans) {
    tensors.set(key, { dtype, shape, data: decodeTensor(data.subarray(begin, end), dtype) });
  }
  return { metadata, tensors };
}

function readHeader(bytes: Uint8Array, fail: Fail): { header: Record<string, unknown>; data: Uint8Array } {
  if (bytes.length < 8) fail(`${bytes.length} bytes are too few for a header`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) fail(`header length ${length} is over the format's limit of ${maxHeaderBytes}`);
  const headerBytes = Number(length);
  if (headerBytes > bytes.length - 8) {
    fail(`its header needs ${headerBytes} bytes, but ${bytes.length - 8} are there; was it cut off?`);
  }
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    fail("its header is not valid JSON");
  }
  if (!isRecord(header)) return fail("its header is not a JSON object");
  return { header, data: bytes.subarray(8 + headerBytes) };
}

/** Tells a file that was cut off from one with a wrong header. */
function checkLength(header: Record<string, unknown>, dataBytes: number, fail: Fail): void {
  let needed = 0;
  for (const entry of Object.values(header)) {
    const offsets = isRecord(entry) ? entry.data_offsets : undefined;
    const [begin, end]: unknown[] = Array.isArray(offsets) ? offsets : [];
    if (isInteger(begin) && isInteger(end) && begin >= 0 && begin <= end) needed = Math.max(needed, end);
  }
  if (needed > dataBytes) fail(`its tensors need ${needed} bytes of data, but ${dataBytes} are there; was it cut off?`);
}

function readMetadata(entry: Record<string, unknown>, fail: Fail): Record<string, string> {
  for (const [key, text] of Object.entries(entry)) {
    if (typeof text !== "string") return fail(`metadata ${shown(key)} is not a string`);
  }
  return entry as Record<string, string>;
}

function readSpan(name: string, entry: Record<string, unknown>, dataBytes: number, fail: Fail): Span {
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDType(dtype)) return fail(`tensor ${shown(name)} has the unknown element type ${shown(String(dtype))}`);
  if (!Array.isArray(shape)) return fail(`tensor ${shown(name)} has no shape`);
  const count = elementCount(shape);
  if (Number.isNaN(count)) return fail(`tensor ${shown(name)} has an impossible shape`);
  const [begin, end]: unknown[] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  if (!isInteger(begin) || !isInteger(end)) {
    return fail(`tensor ${shown(name)} has no data_offsets of two whole numbers`);
  }
  if (begin < 0 || end < begin || end > dataBytes) {
    return fail(`tensor ${shown(name)} lies at bytes ${begin} to ${end}, outside the data (${dataBytes} bytes)`);
  }
  const needed = count * elementBytes[dtype];
  if (end - begin !== needed) {
    return fail(`tensor ${shown(name)}, ${dtype} ${shownShape(shape)}, needs ${needed} bytes but has ${end - begin}`);
  }
  return { name, dtype, shape, begin, end };
}

function checkCoverage(spans: readonly Span[], dataBytes: number, fail: Fail): void {
  let covered = 0;
  for (const span of [...spans].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (span.begin < covered) fail(`tensor ${shown(span.name)} overlaps another`);
    if (span.begin > covered) fail(`bytes ${covered} to ${span.begin} of the data belong to no tensor`);
    covered = span.end;
  }
  if (covered !== dataBytes) fail(`bytes ${covered} to ${dataBytes} of the data belong to no tensor`);
}

/**
 * Writes a safetensors file. Tensors are sorted by element size, then by name. So all are aligned,
 * and the same content always gives the same bytes.
 * @throws RangeError if a tensor's data does not fill its shape, or it is named `__metadata__`
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    ([a, x], [b, y]) => elementBytes[y.dtype] - elementBytes[x.dtype] || (a < b ? -1 : a > b ? 1 : 0),
  );
  const entries: [string, unknown][] = [["__metadata__", metadata]];
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of ordered) {
    if (name === "__metadata__") throw new RangeError("a tensor cannot be named __metadata__");
    const part = encodeTensor(tensor);
    const expected = elementCount(tensor.shape) * elementBytes[tensor.dtype];
    if (part.length !== expected) {
      throw new RangeError(
        `tensor ${shown(name)}, ${tensor.dtype} ${shownShape(tensor.shape)}, needs ${expected} bytes but has ${part.length}`,
      );
    }
    entries.push([name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + part.length] }]);
    parts.push(part);
    offset += part.length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // Padded with spaces to a multiple of 8, so that the data is aligned.
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + offset).fill(0x20, 8, 8 + headerBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(json, 8);
  let position = 8 + headerBytes;
  for (const part of parts) {
    file.set(part, position);
    position += part.length;
  }
  return file;
}
