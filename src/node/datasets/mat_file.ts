// MATLAB's .mat files of version 5 to 7: numeric arrays, and cells and structs of them, as streams.
// Format: "MAT-File Format" (MathWorks), chapter 1.
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createInflate } from "node:zlib";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseStandIn } from "../files/stand_in.js";
import { ByteStream } from "./byte_stream.js";
import type { ValueType } from "./npy_file.js";

/** Most bytes that a variable may have when it is unpacked. */
const MOST_UNPACKED = 4 * 2 ** 30;
/** Bytes of the file's header. */
const HEADER_BYTES = 128;
/** Most variables in a file, dimensions of an array, fields of a struct, and arrays in arrays. */
const [MOST_VARIABLES, MOST_DIMENSIONS, MOST_FIELDS, DEEPEST] = [1000, 32, 1000, 8];

const [MATRIX, COMPRESSED] = [14, 15];
const [CELL, STRUCT, FIRST_NUMERIC, LAST_NUMERIC] = [1, 2, 6, 15];
const CLASSES: Readonly<Record<number, string>> = { 3: "an object", 4: "text", 5: "a sparse matrix", 16: "a function" };
/** Types of stored values by number: b is unknown here, since whole numbers are all alike. */
const TYPES: Readonly<Record<number, { kind: "i" | "u" | "f"; itemSize: number }>> = {
  1: { kind: "i", itemSize: 1 },
  2: { kind: "u", itemSize: 1 },
  3: { kind: "i", itemSize: 2 },
  4: { kind: "u", itemSize: 2 },
  5: { kind: "i", itemSize: 4 },
  6: { kind: "u", itemSize: 4 },
  7: { kind: "f", itemSize: 4 },
  9: { kind: "f", itemSize: 8 },
  12: { kind: "i", itemSize: 8 },
  13: { kind: "u", itemSize: 8 },
};

/** An array of a .mat file. */
export interface MatArray {
  /** Empty for an element of a cell. */
  name: string;
  /** "other" is not read: text, sparse matrices, objects. */
  kind: "numeric" | "cell" | "struct" | "other";
  /** What it is, for messages. */
  what: string;
  dims: readonly number[];
  /** The number of elements. */
  count: number;
  /** Of a struct: the names of its fields. */
  fields: readonly string[];
}

/** Reads an array's content. One of the three must be called, once, before the next array. */
export interface MatContent {
  /**
   * Numbers, first index fastest, in pieces of bytes that may begin and end inside of a value.
   * @param use gets a piece, the position of its first byte, and the type of its values
   */
  numbers(use: UseNumbers): Promise<void>;
  /** The elements of a cell, or of a struct: field after field, element after element. */
  elements(visit: Visit): Promise<void>;
  skip(): Promise<void>;
}

export type UseNumbers = (piece: Uint8Array, at: number, type: ValueType) => void;

export type Visit = (array: MatArray, content: MatContent, index: number) => Promise<void>;

/**
 * Visits the variables of a .mat file in order. Memory holds what the visitor keeps, and one chunk.
 * @param visit returns true if the rest does not matter
 * @throws InputError if the file cannot be read, is not of version 5 to 7, is damaged, or unpacks
 * to over 4 GiB
 */
export async function readMat(
  path: string,
  visit: (array: MatArray, content: MatContent) => Promise<boolean | undefined>,
): Promise<void> {
  const { size, little } = await readHeader(path);
  let variables = 0;
  for (let at = HEADER_BYTES; at < size; ) {
    if (++variables > MOST_VARIABLES) throw new InputError(`${oneLine(path)} has over ${MOST_VARIABLES} variables`);
    const tag = await readTagAt(path, at, little);
    const from = at + 8;
    at = from + tag.bytes;
    if (at > size) throw new InputError(`${oneLine(path)} is cut off`);
    if (tag.type !== MATRIX && tag.type !== COMPRESSED) {
      throw new InputError(`${oneLine(path)} is damaged: it has a variable of the unknown type ${tag.type}`);
    }
    if (tag.bytes === 0) continue;
    const raw = createReadStream(path, { start: from, end: at - 1, highWaterMark: 262144 });
    const isPacked = tag.type === COMPRESSED;
    // A failure of either is thrown where the stream is read.
    const source = isPacked ? pipeline(raw, createInflate({ chunkSize: 262144 }), () => {}) : raw;
    const stream = new ByteStream(source as AsyncIterable<Uint8Array>, path, MOST_UNPACKED);
    const reader = new ArrayReader(stream, path, little);
    try {
      let { bytes } = tag;
      if (isPacked) {
        const inner = await reader.tag();
        if (inner.type !== MATRIX) throw new InputError(`${oneLine(path)} is damaged: its variable is not an array`);
        ({ bytes } = inner);
      }
      let isDone: boolean | undefined;
      await reader.array(bytes, 0, async (array, content) => {
        isDone = await visit(array, content);
      });
      if (isDone) return;
    } finally {
      await stream.close();
      raw.destroy();
    }
  }
}

/** @throws InputError if it is not the header of a version 5 to 7 file */
async function readHeader(path: string): Promise<{ size: number; little: boolean }> {
  const shown = oneLine(path);
  let header: Buffer;
  let size: number;
  try {
    const info = await stat(path);
    // A pipe would block the reader for ever.
    if (!info.isFile()) throw new Error("it is not a file");
    ({ size } = info);
    header = await readBytes(path, 0, HEADER_BYTES);
  } catch (error) {
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}`);
  }
  const text = header.toString("latin1");
  if (text.startsWith("MATLAB 7.3") || text.startsWith("\x89HDF\r\n")) {
    throw new InputError(
      `${shown} has version 7.3 (HDF5), which is not read: load it in MATLAB or Octave, and save it with save(…, '-v7')`,
    );
  }
  // The version is 0x0100; the two letters show in which order its bytes are.
  const order = text.slice(124, 128);
  if (order !== "\x00\x01IM" && order !== "\x01\x00MI") {
    await refuseStandIn(path);
    throw new InputError(`${shown} is not a .mat file of MATLAB's version 5 to 7: save it with save(…, '-v7')`);
  }
  return { size, little: order.endsWith("IM") };
}

async function readBytes(path: string, at: number, length: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function readTagAt(path: string, at: number, little: boolean): Promise<{ type: number; bytes: number }> {
  const bytes = await readBytes(path, at, 8).catch((error: unknown) => {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  });
  if (bytes.length < 8) throw new InputError(`${oneLine(path)} is cut off`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  return { type: view.getUint32(0, little), bytes: view.getUint32(4, little) };
}

interface Tag {
  type: number;
  bytes: number;
  /** The data, if the tag holds it itself. */
  small?: Uint8Array;
}

/** Reads arrays from a stream, and checks that each stays inside of its declared size. */
class ArrayReader {
  /** Bytes read so far. */
  private position = 0;

  constructor(
    private readonly stream: ByteStream,
    private readonly path: string,
    private readonly little: boolean,
  ) {}

  async tag(): Promise<Tag> {
    const bytes = await this.take(8);
    const view = new DataView(bytes.buffer);
    const first = view.getUint32(0, this.little);
    const smallBytes = first >>> 16;
    if (smallBytes === 0) return { type: first, bytes: view.getUint32(4, this.little) };
    if (smallBytes > 4) throw this.damaged("a short element has over 4 bytes");
    return { type: first & 0xffff, bytes: smallBytes, small: bytes.slice(4, 4 + smallBytes) };
  }

  /** Reads an array of `bytes` bytes, behind its tag. */
  async array(bytes: number, depth: number, visit: (array: MatArray, content: MatContent) => Promise<void>) {
    if (depth > DEEPEST) throw this.damaged(`arrays in arrays, over ${DEEPEST} deep`);
    const end = this.position + bytes;
    const array = bytes === 0 ? emptyArray : await this.arrayHeader(end);
    let isRead = false;
    const once = () => {
      if (isRead) throw new Error("the content of an array was read twice");
      isRead = true;
    };
    await visit(array, {
      numbers: async (use) => {
        once();
        if (bytes > 0) await this.numbers(array, end, use);
      },
      elements: async (visitElement) => {
        once();
        const total = array.kind === "struct" ? array.count * array.fields.length : array.count;
        for (let i = 0; i < total; i++) {
          const tag = await this.tag();
          if (tag.type !== MATRIX) throw this.damaged("an element of a cell is not an array");
          this.checkEnd(tag.bytes, end);
          await this.array(tag.bytes, depth + 1, (element, content) => visitElement(element, content, i));
        }
      },
      skip: async () => once(),
    });
    if (this.position > end) throw this.damaged("an array is longer than it says");
    // The next variable is found by its place in the file.
    if (depth > 0) await this.skip(end - this.position);
  }

  private async arrayHeader(end: number): Promise<MatArray> {
    // 1. Its class, and flags.
    const flags = await this.small(end, 8);
    if (flags.length < 4) throw this.damaged("an array has no flags");
    const word = new DataView(flags.buffer).getUint32(0, this.little);
    const type = word & 0xff;
    const isComplex = (word & 0x800) !== 0;
    // 2. Dimensions.
    const sizes = await this.small(end, 4 * MOST_DIMENSIONS);
    const view = new DataView(sizes.buffer);
    const dims = Array.from({ length: Math.floor(sizes.length / 4) }, (_, i) => view.getInt32(4 * i, this.little));
    const count = dims.reduce((product, size) => product * size, 1);
    if (dims.length < 2 || dims.some((size) => size < 0) || !Number.isSafeInteger(count)) {
      throw this.damaged("an array's dimensions are impossible");
    }
    // 3. Its name.
    const name = Buffer.from(await this.small(end, 1024)).toString("latin1");
    const plain = type >= FIRST_NUMERIC && type <= LAST_NUMERIC && !isComplex;
    const kind = plain ? "numeric" : type === CELL ? "cell" : type === STRUCT ? "struct" : "other";
    const what = plain ? "numbers" : isComplex ? "complex numbers" : (CLASSES[type] ?? kind);
    const fields = kind === "struct" ? await this.fieldNames(end) : [];
    // Each element has a tag of 8 bytes.
    const elements = kind === "cell" ? count : kind === "struct" ? count * fields.length : 0;
    this.checkEnd(8 * elements, end);
    return { name, kind, what, dims, count, fields };
  }

  private async fieldNames(end: number): Promise<string[]> {
    const size = await this.small(end, 4);
    if (size.length < 4) throw this.damaged("a struct's fields are impossible");
    const length = new DataView(size.buffer).getInt32(0, this.little);
    const bytes = Buffer.from(await this.small(end, 1024 * MOST_FIELDS));
    if (length < 1 || length > 1024 || bytes.length % length !== 0 || bytes.length / length > MOST_FIELDS) {
      throw this.damaged("a struct's fields are impossible");
    }
    return Array.from({ length: bytes.length / length }, (_, i) =>
      bytes.toString("latin1", i * length, (i + 1) * length).replace(/\0.*$/s, ""),
    );
  }

  private async numbers(array: MatArray, end: number, use: UseNumbers): Promise<void> {
    if (array.kind !== "numeric") throw new Error("only numbers have values");
    const tag = await this.tag();
    const stored = TYPES[tag.type];
    if (!stored) throw this.damaged(`values of the unknown type ${tag.type}`);
    const type = { ...stored, bigEndian: !this.little };
    if (tag.bytes !== array.count * type.itemSize) {
      throw this.damaged(`${tag.bytes} bytes of values where ${array.count * type.itemSize} are needed`);
    }
    if (tag.small) {
      use(tag.small, 0, type);
    } else {
      this.checkEnd(tag.bytes, end);
      let at = 0;
      await this.stream.each(tag.bytes, (piece) => {
        use(piece, at, type);
        at += piece.length;
      });
      this.position += tag.bytes;
    }
  }

  /** A short element's data, padding left out. */
  private async small(end: number, most: number): Promise<Uint8Array> {
    const tag = await this.tag();
    if (tag.small) return tag.small;
    if (tag.bytes > most) throw this.damaged(`an element of ${tag.bytes} bytes where ${most} are the most`);
    this.checkEnd(tag.bytes, end);
    const data = await this.take(tag.bytes);
    await this.skip((8 - (tag.bytes % 8)) % 8);
    return data;
  }

  private checkEnd(bytes: number, end: number): void {
    if (this.position + bytes > end) throw this.damaged("an array is longer than it says");
  }

  private async take(count: number): Promise<Uint8Array> {
    this.position += count;
    return this.stream.take(count);
  }

  private async skip(count: number): Promise<void> {
    this.position += count;
    await this.stream.skip(count);
  }

  private damaged(what: string): InputError {
    return new InputError(`${oneLine(this.path)} is damaged: ${what}`);
  }
}

const emptyArray: MatArray = { name: "", kind: "numeric", what: "numbers", dims: [0, 0], count: 0, fields: [] };
