// Finds a second recording behind the first one in a file ("cat a.mp4 b.mp4"). Readers stop at the
// first one's end, or read on, as the container has it.
import { type FileHandle, open } from "node:fs/promises";
import { oneLine } from "../files/messages.js";

/** Boxes, chunks or elements that are looked at; a file of more is not searched to its end. */
const MOST_PARTS = 20_000;

/** A line that says where another recording begins in a file; undefined if none is found. */
export async function joinedWarning(path: string): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const at = await secondPart(file, (await file.stat()).size);
    if (at === undefined) return undefined;
    return (
      `${oneLine(path)}: another recording is joined on behind the first, from byte ${at} on; ` +
      "how much of it can be read depends on ffmpeg's version: join recordings with ffmpeg's concat instead"
    );
  } catch {
    // Whoever opens the file next says why.
    return undefined;
  } finally {
    await file?.close();
  }
}

/** Where the second recording begins, in bytes. */
async function secondPart(file: FileHandle, size: number): Promise<number | undefined> {
  const head = await bytesAt(file, 0, 16);
  const text = head.toString("latin1");
  if (text.startsWith("RIFF") && text.startsWith("AVI ", 8)) return secondRiff(file, size);
  if (["ftyp", "moov", "mdat", "wide", "free", "skip"].includes(text.slice(4, 8))) return secondMovie(file, size);
  if (head.length >= 4 && head.readUInt32BE(0) === EBML) return secondEbml(file, size);
  if (text.startsWith("FLV\x01")) return secondFlash(file, size);
  return undefined;
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
  return buffer.subarray(0, bytesRead);
}

/** AVI: "RIFF" size "AVI " begins a recording; "AVIX" continues one. */
async function secondRiff(file: FileHandle, size: number): Promise<number | undefined> {
  for (let at = 0, parts = 0; at + 12 <= size && parts < MOST_PARTS; parts++) {
    const head = await bytesAt(file, at, 12);
    if (head.toString("latin1", 0, 4) !== "RIFF") return undefined;
    if (at > 0 && head.toString("latin1", 8, 12) === "AVI ") return at;
    const length = head.readUInt32LE(4);
    at += 8 + length + (length % 2);
  }
  return undefined;
}

/** MP4, MOV: a recording has one "moov"; in fragments it may be repeated. */
async function secondMovie(file: FileHandle, size: number): Promise<number | undefined> {
  let movies = 0;
  let second: number | undefined;
  let begin = 0;
  for (let at = 0, parts = 0; at + 8 <= size && parts < MOST_PARTS; parts++) {
    const head = await bytesAt(file, at, 16);
    const type = head.toString("latin1", 4, 8);
    let length = head.readUInt32BE(0);
    if (length === 1 && head.length === 16) length = Number(head.readBigUInt64BE(8));
    if (type === "moof") return undefined;
    if (type === "ftyp") begin = at;
    if (type === "moov" && ++movies === 2) second = begin > 0 ? begin : at;
    if (length < 8) break;
    at += length;
  }
  return second;
}

const EBML = 0x1a45dfa3;

/** Matroska, WebM: an EBML header and a segment of known length; then another header. */
async function secondEbml(file: FileHandle, size: number): Promise<number | undefined> {
  for (let at = 0, parts = 0; at + 5 <= size && parts < MOST_PARTS; parts++) {
    const head = await bytesAt(file, at, 12);
    if (at > 0 && head.length >= 4 && head.readUInt32BE(0) === EBML) return at;
    const idBytes = Math.clz32(head[0]) - 23;
    const lengthBytes = Math.clz32(head[idBytes]) - 23;
    if (idBytes > 4 || !(lengthBytes <= 8) || head.length < idBytes + lengthBytes) return undefined;
    let length = head[idBytes] & (0xff >> lengthBytes);
    let unknown = length === 0xff >> lengthBytes;
    for (let i = 1; i < lengthBytes; i++) {
      length = length * 256 + head[idBytes + i];
      unknown &&= head[idBytes + i] === 0xff;
    }
    if (unknown) return undefined;
    at += idBytes + lengthBytes + length;
  }
  return undefined;
}

/** FLV: a header of 9 bytes and tags; then another header. */
async function secondFlash(file: FileHandle, size: number): Promise<number | undefined> {
  const head = await bytesAt(file, 0, 9);
  for (let at = head.readUInt32BE(5) + 4, parts = 0; at + 11 <= size && parts < MOST_PARTS; parts++) {
    const tag = await bytesAt(file, at, 11);
    if (tag.toString("latin1", 0, 4) === "FLV\x01") return at;
    at += 11 + tag.readUIntBE(1, 3) + 4;
  }
  return undefined;
}
