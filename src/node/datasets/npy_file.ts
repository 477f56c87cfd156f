// NumPy's .npy files: numeric arrays, read without running anything.
import { type FileHandle, open, stat } from "node:fs/promises";
import { InputError } from "../../errors.js";
import { halfToFloat32 } from "../../half.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { refuseStandIn } from "../files/stand_in.js";

/** Longest header that is read, in bytes. NumPy's has 128 for a plain array. */
const LONGEST_HEADER = 65536;
/** Most values that are read at once, in bytes. */
const MOST_BYTES = 64 * 2 ** 20;

/** What a .npy file says about its array. */
export interface NpyHeader {
  path: string;
  /** b: bool, i: signed, u: unsigned, f: floating point. */
  kind: "b" | "i" | "u" | "f";
  /** Bytes of a value. */
  itemSize: number;
  bigEndian: boolean;
  /** Whether the first index changes fastest (Fortran), not the last one (C). */
  isFortran: boolean;
  shape: readonly number[];
  /** The number of values. */
  count: number;
  /** Where the values begin, in bytes. */
  offset: number;
}

const SIZES = { b: [1], i: [1, 2, 4, 8], u: [1, 2, 4, 8], f: [2, 4, 8] } as const;

/**
 * Reads the header of a .npy file (format 1 to 3): of booleans, whole numbers or floats, in C or
 * Fortran order.
 * @throws InputError if the file cannot be read, is not a .npy file, holds anything else (Python
 * objects, records, text), or has another size than its header says
 */
export async function readNpyHeader(path: string): Promise<NpyHeader> {
  return withFile(path, async (file) => {
    const info = await file.stat();
    const start = await readAt(file, 0, Math.min(info.size, 12));
    const text = Buffer.from(start).toString("latin1");
    if (text.startsWith("PK")) throw new NotRead("is an .npz archive: save its array alone, with numpy.save");
    if (start.length < 10 || !text.startsWith("\x93NUMPY")) {
      await refuseStandIn(path);
      throw new NotRead("is not a .npy file of NumPy");
    }
    const major = start[6];
    if (major < 1 || major > 3) throw new NotRead(`has version ${major} of the .npy format; 1 to 3 are read`);
    const view = new DataView(start.buffer, start.byteOffset, start.length);
    const wide = major > 1;
    if (wide && start.length < 12) throw new NotRead("is cut off in its header");
    const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
    const headerAt = wide ? 12 : 10;
    if (length > LONGEST_HEADER) throw new NotRead(`has a header of ${length} bytes: too large`);
    if (headerAt + length > info.size) throw new NotRead("is cut off in its header");
    const header = parseHeader(Buffer.from(await readAt(file, headerAt, length)).toString("utf8"));
    const offset = headerAt + length;
    const bytes = header.count * header.itemSize;
    if (!Number.isSafeInteger(bytes) || offset + bytes !== info.size) {
      throw new NotRead(
        `has ${info.size - offset} bytes of values, but its shape, ${shapeText(header.shape)}, needs ${bytes}`,
      );
    }
    return { path, ...header, offset };
  });
}

/** "3×4". */
export const shapeText = (shape: readonly number[]): string => shape.join("×") || "a single value";

/** A fault of the file itself, said behind its name. */
class NotRead extends Error {}

type Parsed = Omit<NpyHeader, "path" | "offset">;

/**
 * Parses the header, the text of a Python dictionary, with patterns: nothing is evaluated.
 * @throws NotRead if it is anything else than a plain array's
 */
function parseHeader(text: string): Parsed {
  const entry =
    /\s*'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|True|False|\([\dL,\s]*\)|\[[\s\S]*?\](?=\s*[,}]\s*(?:'|$)))\s*(,|(?=\}))/y;
  const found = new Map<string, string>();
  const body = text.trim();
  if (!body.startsWith("{") || !body.endsWith("}")) throw new NotRead("has a damaged header");
  let at = 1;
  while (found.size < 3) {
    entry.lastIndex = at;
    const match = entry.exec(body);
    if (!match || found.has(match[1])) throw new NotRead("has a damaged header");
    found.set(match[1], match[2]);
    at = entry.lastIndex;
  }
  if (body.slice(at).trim() !== "}") throw new NotRead("has a damaged header");
  const [descr, order, shapeOf] = ["descr", "fortran_order", "shape"].map((key) => found.get(key) as string);
  const type = /^'([<>|=]?)([a-zA-Z])(\d{0,4})'$/.exec(descr);
  if (type?.[2] === "O") {
    throw new NotRead("holds Python objects, which are not read: save a plain array of numbers");
  }
  const kind = type?.[2] as NpyHeader["kind"];
  const itemSize = Number(type?.[3]);
  if (!type || !Object.hasOwn(SIZES, kind) || !(SIZES[kind] as readonly number[]).includes(itemSize)) {
    throw new NotRead(`holds values of the type ${oneLine(descr)}; booleans, whole numbers and floats are read`);
  }
  if ((order !== "True" && order !== "False") || !shapeOf.startsWith("(")) throw new NotRead("has a damaged header");
  const shape = shapeOf
    .slice(1, -1)
    .split(",")
    .map((size) => size.trim())
    .filter(Boolean);
  if (shape.length > 32 || !shape.every((size) => /^\d{1,15}L?$/.test(size))) throw new NotRead("has a damaged header");
  const sizes = shape.map((size) => Number.parseInt(size, 10));
  const count = sizes.reduce((product, size) => product * size, 1);
  return { kind, itemSize, bigEndian: type[1] === ">", isFortran: order === "True", shape: sizes, count };
}

/**
 * All values of a small array, in the file's order.
 * @throws InputError if the file cannot be read, or has over 64 MiB
 */
export async function readNpyValues(header: NpyHeader): Promise<Float64Array> {
  const { path, count, itemSize, offset } = header;
  if (count * itemSize > MOST_BYTES) {
    throw new InputError(`${oneLine(path)} has ${count} values: too many for labels`);
  }
  const bytes = await readNpyBytes(header, offset, count * itemSize);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Float64Array.from({ length: count }, (_, i) => valueAt(view, i * itemSize, header));
}

/** A value as a number; 64-bit ones lose what a float64 cannot hold. */
export function valueAt(view: DataView, at: number, { kind, itemSize, bigEndian }: ValueType): number {
  const little = !bigEndian;
  switch (`${kind}${itemSize}`) {
    case "i1":
      return view.getInt8(at);
    case "i2":
      return view.getInt16(at, little);
    case "i4":
      return view.getInt32(at, little);
    case "i8":
      return Number(view.getBigInt64(at, little));
    case "u2":
      return view.getUint16(at, little);
    case "u4":
      return view.getUint32(at, little);
    case "u8":
      return Number(view.getBigUint64(at, little));
    case "f2":
      return halfToFloat32(Uint16Array.of(view.getUint16(at, little)))[0];
    case "f4":
      return view.getFloat32(at, little);
    case "f8":
      return view.getFloat64(at, little);
    default:
      return view.getUint8(at);
  }
}

/** Bytes of a .npy file. @throws InputError if it cannot be read or has become shorter */
export async function readNpyBytes({ path }: NpyHeader, offset: number, length: number): Promise<Uint8Array> {
  return withFile(path, (file) => readAt(file, offset, length));
}

/** The type of a value in a binary file. */
export type ValueType = Pick<NpyHeader, "itemSize" | "bigEndian"> & { kind: string };

/**
 * Sets a 1 in `out` for each value that is not 0, whatever its type; NaN counts.
 * @param bytes a piece of the values, which may begin and end inside of one
 * @param first the position of the piece's first byte; that of the values for out[0] is 0
 */
export function markNonZero(
  bytes: Uint8Array,
  first: number,
  { kind, itemSize, bigEndian }: ValueType,
  out: Uint8Array,
): void {
  if (itemSize === 1) {
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) out[first + i] = 1;
    return;
  }
  // The sign of a floating-point 0 does not count.
  const signAt = kind === "f" ? (bigEndian ? 0 : itemSize - 1) : -1;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === 0) continue;
    const within = (first + i) % itemSize;
    if (within !== signAt || (bytes[i] & 0x7f) !== 0) out[(first + i - within) / itemSize] = 1;
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new NotRead("is cut off");
    done += bytesRead;
  }
  return bytes;
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    // A pipe would block the reader for ever.
    if (!(await stat(path)).isFile()) throw new Error("it is not a file");
    file = await open(path);
    return await work(file);
  } catch (error) {
    if (error instanceof NotRead) throw new InputError(`${oneLine(path)} ${error.message}`);
    if (error instanceof InputError) throw error;
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  } finally {
    await file?.close();
  }
}
