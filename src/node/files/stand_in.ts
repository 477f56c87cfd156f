// Tells what stands in a file's place: a Git LFS pointer, a web page, a server's answer.
import { open } from "node:fs/promises";
import { describeStandIn, maxTextBytes } from "../../checkpoint/foreign.js";
import { InputError } from "../../errors.js";
import { oneLine } from "./messages.js";

/**
 * Refuses a file that only stands for another: a pointer of Git LFS, a web page in place of a
 * download. To be asked about files that are not what they should be.
 * @throws InputError that says what the file is; nothing if it cannot be read
 */
export async function refuseStandIn(path: string): Promise<void> {
  const file = await open(path).catch(() => undefined);
  if (!file) return;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxTextBytes), 0, maxTextBytes, 0);
    refuseStandInBytes(buffer.subarray(0, bytesRead), path);
  } finally {
    await file.close();
  }
}

/** {@link refuseStandIn} for a file's first bytes; the message calls it `name`. */
export function refuseStandInBytes(bytes: Uint8Array, name: string): void {
  const what = describeStandIn(bytes);
  if (what !== undefined) throw new InputError(`${oneLine(name)}: ${what}`);
}
