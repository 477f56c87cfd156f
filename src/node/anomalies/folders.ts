// Folders of images that appear whole or not at all.
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { BgrImage } from "../../data/resize.js";
import { InputError } from "../../errors.js";
import { mkdirs } from "../files/atomic.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { encodePng } from "../media/png_write.js";

/** Images that are encoded and written at once. */
const writesInFlight = 4;

/**
 * The names in a folder, sorted, without hidden ones; none if there is no such folder.
 * @throws InputError if it cannot be read
 */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw new InputError(`${oneLine(folder)} cannot be read: ${reasonOf(error)}`);
  }
}

/**
 * A folder of images that appears whole or not at all: it is written as a hidden folder beside its
 * place, then renamed. An unfinished one of an earlier run is removed.
 */
export class ImageFolder {
  private readonly pending = new Set<Promise<void>>();
  private failure: unknown;
  private finished = false;

  private constructor(
    readonly path: string,
    private readonly temporary: string,
  ) {}

  /**
   * @param subfolders folders in it, for names such as "masks/0.png"
   * @throws InputError if it cannot be written
   */
  static async create(path: string, subfolders: readonly string[] = []): Promise<ImageFolder> {
    const temporary = join(dirname(path), `.${basename(path)}.partial`);
    try {
      await rm(temporary, { recursive: true, force: true });
      await mkdirs(temporary);
      for (const name of subfolders) await mkdir(join(temporary, name));
    } catch (error) {
      throw cannotWrite(path, error);
    }
    return new ImageFolder(path, temporary);
  }

  /**
   * Begins to write an image; waits while too many are being written.
   * @throws InputError if an earlier one could not be written
   */
  async write(name: string, image: BgrImage): Promise<void> {
    while (this.pending.size >= writesInFlight) await Promise.race(this.pending);
    if (this.failure) throw cannotWrite(this.path, this.failure);
    const writing = encodePng(image.data, image.width, image.height)
      .then((bytes) => writeFile(join(this.temporary, name), bytes))
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => this.pending.delete(writing));
    this.pending.add(writing);
  }

  /**
   * Gives the folder its name, in place of an older one.
   * @throws InputError if an image or the name cannot be written
   */
  async commit(): Promise<void> {
    await Promise.all(this.pending);
    if (this.failure) throw cannotWrite(this.path, this.failure);
    try {
      await rm(this.path, { recursive: true, force: true });
      await rename(this.temporary, this.path);
    } catch (error) {
      throw cannotWrite(this.path, error);
    }
    this.finished = true;
  }

  /** Removes what was written, unless it was committed. */
  async discard(): Promise<void> {
    await Promise.all(this.pending);
    if (!this.finished) await rm(this.temporary, { recursive: true, force: true }).catch(() => undefined);
  }
}

function cannotWrite(path: string, error: unknown): InputError {
  return new InputError(`${oneLine(path)} cannot be written: ${reasonOf(error)}`);
}
