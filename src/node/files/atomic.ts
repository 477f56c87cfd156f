// Files that appear whole or not at all, and folders.
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { reasonOf } from "./messages.js";

/**
 * A file that appears whole or not at all: it is written under a temporary name in the same folder,
 * then renamed. Until {@link commit}, an older file of its name stays as it is.
 */
export class AtomicFile {
  private finished = false;

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly file: FileHandle,
  ) {}

  /** @throws InputError if the folder cannot be written */
  static async create(path: string): Promise<AtomicFile> {
    const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
    try {
      return new AtomicFile(path, temporary, await open(temporary, "wx"));
    } catch (error) {
      throw cannotWrite(path, error);
    }
  }

  /** Appends. @throws InputError if that fails; the file is then discarded */
  async write(data: Uint8Array | string): Promise<void> {
    try {
      await this.file.writeFile(data);
    } catch (error) {
      await this.discard();
      throw cannotWrite(this.path, error);
    }
  }

  /** Gives the file its name. @throws InputError if that fails; the file is then discarded */
  async commit(): Promise<void> {
    try {
      // Without it, a crash of the machine may leave an empty file under the new name.
      await this.file.sync();
      await this.file.close();
      await rename(this.temporary, this.path);
      this.finished = true;
    } catch (error) {
      await this.discard();
      throw cannotWrite(this.path, error);
    }
  }

  /** Removes what was written, unless it was committed. */
  async discard(): Promise<void> {
    if (this.finished) return;
    this.finished = true;
    await this.file.close().catch(() => undefined);
    await rm(this.temporary, { force: true }).catch(() => undefined);
  }
}

/** The error for a file or folder that cannot be written, with the system's reason. */
export function cannotWrite(path: string, error: unknown): InputError {
  return new InputError(`${path}: cannot be written (${reasonOf(error)})`);
}

/**
 * Writes a file whole or not at all; see {@link AtomicFile}.
 * @throws InputError if it cannot be written
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const file = await AtomicFile.create(path);
  await file.write(data);
  await file.commit();
}

/**
 * Makes a folder and those above it, unless they exist.
 * @param name what messages call it; default: the path
 * @returns whether any was made
 * @throws InputError if that fails
 */
export async function makeFolder(path: string, name: string = path): Promise<boolean> {
  try {
    return await mkdirs(path);
  } catch (error) {
    throw cannotWrite(name, error);
  }
}

/**
 * Makes a folder and those above it, unless they exist; returns whether any was made. Node's own
 * recursive mkdir never ends below a folder that takes no others, such as /proc.
 * @throws Error of the system
 */
export async function mkdirs(path: string): Promise<boolean> {
  const folder = resolve(path);
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(folder)).isDirectory()) return false;
    if (code !== "ENOENT" || dirname(folder) === folder) throw error;
    await mkdirs(dirname(folder));
    await mkdir(folder).catch((again: NodeJS.ErrnoException) => {
      if (again.code === "ENOENT") throw new Error("no folder can be made there");
      // Another process may have made it in the meantime.
      if (again.code !== "EEXIST") throw again;
    });
    return true;
  }
}

/** Whether an error says that the disk, or the user's part of it, is full. */
export function isFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  // Commands' errors have the code in their text only.
  return code === "ENOSPC" || code === "EDQUOT" || /\b(ENOSPC|EDQUOT)\b/.test(String(error));
}
