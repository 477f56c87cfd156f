// Tells what stands in a file's place: a Git LFS pointer, a web page, a server's answer.
import { open } from "node:fs/promises";
import { describeStandIn, isJson, maxTextBytes } from "../../checkpoint/foreign.js";
import { InputError } from "../../errors.js";
import { oneLine } from "./messages.js";

/**
 * Refuses a file that only stands for another: a pointer of Git LFS, a web page in place of a
 * download. To be asked about files that are not what they should be.
 * @throws InputError that says what the file is; nothing if it cannot be read
 */
export async function refuseStandIn(path: string): Promise<void> {
  refuseStandInBytes(await beginningOf(path), path);
}

/** {@link refuseStandIn} for a file's first bytes; the message calls it `name`. */
export function refuseStandInBytes(bytes: Uint8Array, name: string): void {
  const what = describeStandIn(bytes);
  if (what !== undefined) throw new InputError(`${oneLine(name)}: ${what}`);
}

/** {@link refuseStandIn} for what should be a video: any JSON is named, too. */
export async function refuseForVideo(path: string): Promise<void> {
  refuseBytesForVideo(await beginningOf(path), path);
}

/** {@link refuseForVideo} for a file's first bytes; the message calls it `name`. */
export function refuseBytesForVideo(bytes: Uint8Array, name: string): void {
  refuseStandInBytes(bytes, name);
  if (isJson(bytes)) throw new InputError(`${oneLine(name)} is JSON, not a video`);
}

/** A file's first bytes; none if it cannot be read. */
async function beginningOf(path: string): Promise<Uint8Array> {
  const file = await open(path).catch(() => undefined);
  if (!file) return new Uint8Array();
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxTextBytes), 0, maxTextBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
