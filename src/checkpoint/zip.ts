// Reads zip archives. Why not fflate's unzipSync: it checks neither ranges nor checksums, and
// inflates a whole stream even if its entry declares a small size. fflate only inflates here. The
// format: PKWARE's APPNOTE.TXT, sections 4.3.6 to 4.3.16.

import { Inflate } from "fflate";
import { InputError } from "../errors.js";
import { shown } from "./text.js";

const localHeader = 0x04034b50;
const directoryHeader = 0x02014b50;
const endOfDirectory = 0x06054b50;
const endOfDirectory64 = 0x06064b50;
const locator64 = 0x07064b50;

/** A checkpoint's archive has a few hundred entries. */
const maxEntries = 100_000;
/** Limit for all compressed entries together. torch.save compresses none; repacked archives may. */
const maxInflatedBytes = 256 * 2 ** 20;
/**
 * Compressed bytes that are inflated between two checks of the size. Limits the harm of a zip bomb.
 */
const inflateChunkBytes = 16_384;

interface ZipEntry {
  method: number;
  checksum: number;
  packedBytes: number;
  bytes: number;
  headerOffset: number;
}

const checksumTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = checksumTable[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Whether the bytes begin like a zip archive with at least one entry. */
export function looksLikeZip(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/**
 * A zip archive in memory, also ZIP64. Entries are unpacked on demand; size and checksum are
 * checked.
 */
export class ZipArchive {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #entries = new Map<string, ZipEntry>();
  #inflatedBytes = 0;

  /**
   * @param name the file's name, for messages
   * @throws InputError if the archive's directory is missing or damaged
   */
  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    try {
      this.#readDirectory();
    } catch (error) {
      // DataView's range checks are the bounds checks here.
      if (error instanceof RangeError) this.#fail("its directory points outside the file");
      throw error;
    }
  }

  /** All entries' names, in the directory's order. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  has(entryName: string): boolean {
    return this.#entries.has(entryName);
  }

  /**
   * Unpacked bytes of an entry, as declared in the directory; undefined if there is no such entry.
   */
  size(entryName: string): number | undefined {
    return this.#entries.get(entryName)?.bytes;
  }

  /**
   * An entry's content. It is a view of the archive if the entry is not compressed.
   * @throws InputError if it is missing or damaged, or unpacks to more than declared or than 256
   *   MiB
   */
  read(entryName: string): Uint8Array {
    const entry = this.#entries.get(entryName);
    const shownName = shown(entryName);
    if (!entry) return this.#fail(`it has no entry ${shownName}`);
    const header = entry.headerOffset;
    if (header + 30 > this.#bytes.length || this.#view.getUint32(header, true) !== localHeader) {
      return this.#fail(`entry ${shownName} is not where its directory says`);
    }
    const begin = header + 30 + this.#view.getUint16(header + 26, true) + this.#view.getUint16(header + 28, true);
    const end = begin + entry.packedBytes;
    if (end > this.#bytes.length) return this.#fail(`entry ${shownName} reaches past the end of the file`);
    const packed = this.#bytes.subarray(begin, end);

    let content: Uint8Array;
    if (entry.method === 0) content = packed;
    else if (entry.method === 8) content = this.#inflate(packed, entry, shownName);
    else
      return this.#fail(
        `entry ${shownName} uses compression method ${entry.method}; only store and deflate are supported`,
      );
    if (content.length !== entry.bytes) {
      return this.#fail(`entry ${shownName} has ${content.length} bytes, but its directory says ${entry.bytes}`);
    }
    if (crc32(content) !== entry.checksum) return this.#fail(`entry ${shownName} fails its checksum`);
    return content;
  }

  #inflate(packed: Uint8Array, entry: ZipEntry, shownName: string): Uint8Array {
    this.#inflatedBytes += entry.bytes;
    if (this.#inflatedBytes > maxInflatedBytes) {
      this.#fail(
        `entry ${shownName} would unpack to ${entry.bytes} bytes; the limit for all compressed entries is 256 MiB`,
      );
    }
    const content = new Uint8Array(entry.bytes);
    let filled = 0;
    const inflate = new Inflate((chunk) => {
      if (filled + chunk.length > content.length) {
        this.#fail(`entry ${shownName} unpacks to more than the ${entry.bytes} bytes that its directory says`);
      }
      content.set(chunk, filled);
      filled += chunk.length;
    });
    try {
      for (let at = 0; at < packed.length || at === 0; at += inflateChunkBytes) {
        const last = at + inflateChunkBytes >= packed.length;
        inflate.push(packed.subarray(at, at + inflateChunkBytes), last);
      }
    } catch (error) {
      if (error instanceof InputError) throw error;
      this.#fail(`entry ${shownName} cannot be inflated (${error instanceof Error ? error.message : String(error)})`);
    }
    return content.subarray(0, filled);
  }

  #readDirectory(): void {
    const view = this.#view;
    let end = view.byteLength - 22;
    // The end record may be followed by a comment of up to 65,535 bytes.
    const first = Math.max(0, end - 65_535);
    while (end >= first && view.getUint32(end, true) !== endOfDirectory) end--;
    if (end < first) this.#fail("it has no directory at its end; was it cut off?");

    let count = view.getUint16(end + 10, true);
    let at = view.getUint32(end + 16, true);
    if (end >= 20 && view.getUint32(end - 20, true) === locator64) {
      const end64 = this.#uint64(end - 12);
      if (view.getUint32(end64, true) !== endOfDirectory64) this.#fail("its ZIP64 directory is damaged");
      count = this.#uint64(end64 + 32);
      at = this.#uint64(end64 + 48);
    }
    if (count > maxEntries) this.#fail(`it has ${count} entries; the limit is ${maxEntries}`);

    const decoder = new TextDecoder();
    for (let i = 0; i < count; i++) {
      if (view.getUint32(at, true) !== directoryHeader) this.#fail("its directory is damaged");
      const nameBytes = view.getUint16(at + 28, true);
      const extraBytes = view.getUint16(at + 30, true);
      const commentBytes = view.getUint16(at + 32, true);
      const extraAt = at + 46 + nameBytes;
      const next = extraAt + extraBytes + commentBytes;
      if (next > view.byteLength) this.#fail("its directory is damaged");
      const entryName = decoder.decode(this.#bytes.subarray(at + 46, extraAt));
      if (view.getUint16(at + 8, true) & 1) this.#fail(`entry ${shown(entryName)} is encrypted`);
      if (this.#entries.has(entryName)) this.#fail(`it has two entries named ${shown(entryName)}`);
      const entry: ZipEntry = {
        method: view.getUint16(at + 10, true),
        checksum: view.getUint32(at + 16, true),
        packedBytes: view.getUint32(at + 20, true),
        bytes: view.getUint32(at + 24, true),
        headerOffset: view.getUint32(at + 42, true),
      };
      this.#readZip64Sizes(entry, extraAt, extraAt + extraBytes);
      this.#entries.set(entryName, entry);
      at = next;
    }
  }

  /**
   * If a value of an entry does not fit in 32 bits, it is 0xffffffff and extra field 1 has the real
   * one.
   */
  #readZip64Sizes(entry: ZipEntry, begin: number, end: number): void {
    for (let at = begin; at + 4 <= end; at += 4 + this.#view.getUint16(at + 2, true)) {
      if (this.#view.getUint16(at, true) !== 1) continue;
      let value = at + 4;
      for (const key of ["bytes", "packedBytes", "headerOffset"] as const) {
        if (entry[key] !== 0xffffffff) continue;
        entry[key] = this.#uint64(value);
        value += 8;
      }
      return;
    }
  }

  #uint64(at: number): number {
    const value = Number(this.#view.getBigUint64(at, true));
    if (!Number.isSafeInteger(value)) this.#fail("its directory is damaged");
    return value;
  }

  #fail(what: string): never {
    throw new InputError(`${this.#name}: not a readable zip archive: ${what}`);
  }
}
