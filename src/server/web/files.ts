// Gives out clips and snapshots of events, and no other file.
import { constants, type Stats } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { Readable } from "node:stream";
import type { Context } from "hono";

/** Where files are in addresses. */
export const filesPath = "/files/clips/";

const types = new Map([
  ["mp4", "video/mp4"],
  ["jpg", "image/jpeg"],
]);
/** CAMERA/DAY/ID.mp4, as src/server/camera/camera.ts names files; no part begins with a dot. */
const pathPattern = /^(?:[\w-][\w.-]{0,200}\/){0,3}[\w-][\w.-]{0,200}\.(mp4|jpg)$/;

/** Answers a request for a file. @param folder that of clips: nothing outside of it is read */
export async function clipFile(c: Context, folder: string): Promise<Response> {
  const path = decoded(c.req.path.slice(filesPath.length));
  const type = types.get(pathPattern.exec(path)?.[1] ?? "");
  const file = type === undefined ? undefined : await openWithin(folder, path);
  if (type === undefined || !file) return c.json({ error: "there is no such file" }, 404);
  let isHandedOn = false;
  try {
    const info = await file.stat();
    if (!info.isFile()) return c.json({ error: "there is no such file" }, 404);
    c.header("Content-Type", type);
    const { status, range } = answerTo(c, info);
    c.status(status);
    if (!range || c.req.method === "HEAD") return c.body(null);
    isHandedOn = true;
    return c.body(bytesOf(file, range));
  } finally {
    if (!isHandedOn) await file.close();
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Opens a file below a folder; links that lead out of it are not followed. */
async function openWithin(folder: string, path: string): Promise<FileHandle | undefined> {
  try {
    const [root, real] = await Promise.all([realpath(folder), realpath(join(folder, path))]);
    if (!real.startsWith(root + sep)) return undefined;
    // A pipe would never open without O_NONBLOCK.
    return await open(real, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch {
    return undefined;
  }
}

/** First and last byte. */
type ByteRange = readonly [first: number, last: number];

/** Sets the headers of an answer. @returns its status, and the bytes that it sends */
function answerTo(c: Context, { size, mtimeMs }: Stats): { status: 200 | 206 | 304 | 416; range?: ByteRange } {
  const tag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
  // A snapshot may be replaced while its event goes on.
  c.header("Cache-Control", "private, no-cache");
  c.header("ETag", tag);
  c.header("Accept-Ranges", "bytes");
  if (c.req.header("if-none-match") === tag) return { status: 304 };
  const wanted = (c.req.header("if-range") ?? tag) === tag ? c.req.header("range") : undefined;
  const range = rangeOf(wanted, size);
  if (range === "none") {
    c.header("Content-Range", `bytes */${size}`);
    return { status: 416 };
  }
  const [first, last] = range ?? [0, size - 1];
  c.header("Content-Length", String(last - first + 1));
  if (!range) return { status: 200, ...(size > 0 && { range: [first, last] }) };
  c.header("Content-Range", `bytes ${first}-${last}/${size}`);
  return { status: 206, range };
}

/** The bytes that a Range header asks for; undefined: all, as it is absent or asks for several. */
function rangeOf(header: string | undefined, size: number): ByteRange | "none" | undefined {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.replaceAll(" ", "") ?? "") ?? [];
  if (from === undefined || (from === "" && to === "")) return undefined;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== "" && to !== "" && Number(to) < first) return undefined;
  return first <= last ? [first, last] : "none";
}

/** Reads on demand; the file is closed at the end, or when the reader is gone. */
function bytesOf(file: FileHandle, [start, end]: ByteRange): ReadableStream<Uint8Array> {
  return Readable.toWeb(file.createReadStream({ start, end })) as ReadableStream<Uint8Array>;
}
