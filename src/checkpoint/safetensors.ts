import { InputError } from "../errors.js";
import { type DType, decodeTensor, elementBytes, elementCount, encodeTensor, type StoredTensor } from "./tensor.js";
import { shown, shownShape } from "./text.js";

// The format: https://huggingface.co/docs/safetensors. 8 bytes header length (little-endian), a JSON header, the data.

/** The format's own limit. */
const maxHeaderBytes = 100_000_000;

export interface Safetensors {
  metadata: Record<string, string>;
  tensors: Map<string, StoredTensor>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDType(value: unknown): value is DType {
  return typeof value === "string" && Object.hasOwn(elementBytes, value);
}

/** Whether the bytes begin as a safetensors file does (says nothing about the rest). */
export function looksLikeSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length < 10 || bytes[8] !== 0x7b) return false;
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  return headerBytes <= BigInt(maxHeaderBytes);
}

/**
 * Reads a safetensors file, checking all of it: header, element types, and that the tensors cover the data exactly,
 * without overlap or hole. Tensors are views of `bytes` where alignment allows it. F16 and BF16 come as Float32Array.
 * @param name the file's name, for messages
 * @throws InputError
 */
export function parseSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const fail = (what: string): never => {
    throw new InputError(`${name}: not a valid safetensors file: ${what}`);
  };
  if (bytes.length < 8) fail(`${bytes.length} bytes are too few for a header`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) fail(`header length ${length} is over the format's limit of ${maxHeaderBytes}`);
  const headerBytes = Number(length);
  if (headerBytes > bytes.length - 8) {
    fail(`header length ${headerBytes} reaches past the end of the file (${bytes.length} bytes)`);
  }
  const data = bytes.subarray(8 + headerBytes);

  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    fail("its header is not valid JSON");
  }
  if (!isRecord(header)) return fail("its header is not a JSON object");

  let metadata: Record<string, string> = {};
  const spans: { name: string; dtype: DType; shape: number[]; begin: number; end: number }[] = [];
  for (const [key, value] of Object.entries(header)) {
    if (!isRecord(value)) return fail(`the header's entry ${shown(key)} is not an object`);
    if (key === "__metadata__") {
      for (const [metaKey, text] of Object.entries(value)) {
        if (typeof text !== "string") return fail(`metadata ${shown(metaKey)} is not a string`);
      }
      metadata = value as Record<string, string>;
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = value;
    if (!isDType(dtype)) {
      return fail(`tensor ${shown(key)} has the unknown element type ${shown(String(dtype))}`);
    }
    if (!Array.isArray(shape)) return fail(`tensor ${shown(key)} has no shape`);
    const count = elementCount(shape);
    if (Number.isNaN(count)) return fail(`tensor ${shown(key)} has an impossible shape`);
    const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? (offsets as unknown[]) : [];
    if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(end)) {
      return fail(`tensor ${shown(key)} has no data_offsets of two whole numbers`);
    }
    const span = { name: key, dtype, shape: shape as number[], begin: begin as number, end: end as number };
    if (span.begin < 0 || span.end < span.begin || span.end > data.length) {
      return fail(
        `tensor ${shown(key)} lies at bytes ${span.begin} to ${span.end}, outside of the data (${data.length} bytes)`,
      );
    }
    if (span.end - span.begin !== count * elementBytes[dtype]) {
      const takes = count * elementBytes[dtype];
      return fail(
        `tensor ${shown(key)}, ${dtype} ${shownShape(span.shape)}, takes ${takes} bytes but has ${span.end - span.begin}`,
      );
    }
    spans.push(span);
  }

  let covered = 0;
  for (const span of [...spans].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (span.begin < covered) fail(`tensor ${shown(span.name)} overlaps another`);
    if (span.begin > covered) fail(`bytes ${covered} to ${span.begin} of the data belong to no tensor`);
    covered = span.end;
  }
  if (covered !== data.length) fail(`bytes ${covered} to ${data.length} of the data belong to no tensor`);

  const tensors = new Map<string, StoredTensor>();
  for (const { name: key, dtype, shape, begin, end } of spans) {
    tensors.set(key, { dtype, shape, data: decodeTensor(data.subarray(begin, end), dtype) });
  }
  return { metadata, tensors };
}

/**
 * Writes a safetensors file. Tensors are ordered by element size, then by name, so that every one is aligned and the
 * same content always gives the same bytes.
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
        `tensor ${shown(name)}, ${tensor.dtype} ${shownShape(tensor.shape)}, takes ${expected} bytes, not ${part.length}`,
      );
    }
    entries.push([name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + part.length] }]);
    parts.push(part);
    offset += part.length;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // Padded with spaces to a multiple of 8, so that the data is aligned in the file.
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
