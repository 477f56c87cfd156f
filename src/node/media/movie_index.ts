// MP4 and MOV whose index ("moov") lies at the end, made readable without jumps: the index goes
// before the media data, and its chunk offsets are moved accordingly.

/** Bytes of an index; that of a day at 30 frames/s has some 40 MB. */
const LARGEST_INDEX = 256 * 2 ** 20;
const MOST_BOXES = 64;

/**
 * The beginning of a movie with its index moved to the front.
 * @param head the file's first bytes
 * @param size the file's, in bytes
 * @param part reads bytes at a place
 * @returns what comes in place of `head`; undefined if nothing must or can be moved
 */
export async function movieIndexFirst(
  head: Buffer,
  size: number,
  part: (at: number, length: number) => Promise<Buffer>,
): Promise<Buffer[] | undefined> {
  if (head.toString("latin1", 4, 8) !== "ftyp") return undefined;
  // 1. The media data must begin within the head, before any index.
  let data: number | undefined;
  for (let at = 0, i = 0; at + 8 <= size && i < MOST_BOXES; i++) {
    const header = at + 16 <= head.length ? head.subarray(at, at + 16) : await part(at, Math.min(16, size - at));
    if (header.length < 8) return undefined;
    const type = header.toString("latin1", 4, 8);
    let length = header.readUInt32BE(0);
    if (length === 1 && header.length === 16) length = Number(header.readBigUInt64BE(8));
    if (length < 8 || type === "moof") return undefined;
    if (type === "mdat") data ??= at;
    if (type === "moov") {
      if (data === undefined || data > head.length || length > LARGEST_INDEX || at + length > size) return undefined;
      // 2. The index, with all chunks as far back as it is long.
      const index = await part(at, length);
      if (index.length !== length) return undefined;
      moveChunks(index, 8, length, { from: data, by: length });
      return [head.subarray(0, data), index, head.subarray(data)];
    }
    at += length;
  }
  return undefined;
}

/** Whether a file's first bytes are those of a movie whose media data come before its index. */
export function isIndexLast(head: Buffer): boolean {
  if (head.toString("latin1", 4, 8) !== "ftyp") return false;
  for (let at = 0, i = 0; at + 8 <= head.length && i < MOST_BOXES; i++) {
    const type = head.toString("latin1", at + 4, at + 8);
    if (type === "mdat") return true;
    const length = head.readUInt32BE(at);
    if (length < 8 || type === "moov" || type === "moof") return false;
    at += length;
  }
  return false;
}

const CONTAINERS = new Set(["trak", "mdia", "minf", "stbl"]);

/** Adds to the offsets in all "stco" and "co64" boxes that lie behind `from`. */
function moveChunks(index: Buffer, begin: number, end: number, move: { from: number; by: number }): void {
  for (let at = begin; at + 8 <= end; ) {
    const length = index.readUInt32BE(at);
    if (length < 8 || at + length > end) return;
    const type = index.toString("latin1", at + 4, at + 8);
    if (CONTAINERS.has(type)) moveChunks(index, at + 8, at + length, move);
    else if ((type === "stco" || type === "co64") && length >= 16) {
      const bytes = type === "stco" ? 4 : 8;
      const count = Math.min(index.readUInt32BE(at + 12), Math.floor((length - 16) / bytes));
      for (let i = 0, entry = at + 16; i < count; i++, entry += bytes) {
        if (bytes === 4) {
          const offset = index.readUInt32BE(entry);
          if (offset >= move.from) index.writeUInt32BE((offset + move.by) >>> 0, entry);
        } else {
          const offset = index.readBigUInt64BE(entry);
          if (offset >= BigInt(move.from)) index.writeBigUInt64BE(BigInt.asUintN(64, offset + BigInt(move.by)), entry);
        }
      }
    }
    at += length;
  }
}
