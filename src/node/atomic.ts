import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { InputError } from "../errors.js";
import { reasonOf } from "./messages.js";

/**
 * Writes a file whole or not at all: to a temporary name in the same folder, then renamed, over an older file if there is
 * one. On failure the temporary file is removed and the older file stays as it was.
 * @throws InputError with the system's reason when the file cannot be written
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(data);
      // Otherwise a crash of the machine may leave the new name with no content.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new InputError(`${path}: cannot be written (${reasonOf(error)})`);
  }
}
