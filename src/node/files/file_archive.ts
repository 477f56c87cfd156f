import { randomBytes } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import type { FrameArchive } from "../../train/frame_archive.js";
import { reasonOf } from "./messages.js";

/**
 * Keeps decoded frames in a file. Where the system allows it the file has no name from the start, so that nothing of it is left however the
 * process ends.
 */
export class FileArchive implements FrameArchive {
  /** Where frames begin, and where the last one ends. */
  private readonly offsets: number[] = [0];

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** @throws InputError where the folder cannot be written */
  static async create(folder: string = tmpdir()): Promise<FileArchive> {
    const path = join(folder, `sdmae-frames-${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
    try {
      const file = await open(path, "wx+");
      if (process.platform !== "win32") await rm(path, { force: true });
      return new FileArchive(path, file);
    } catch (error) {
      throw new InputError(`${folder}: frames cannot be kept there (${reasonOf(error)})`);
    }
  }

  async add(frame: Uint8Array): Promise<void> {
    const offset = this.offsets.at(-1) as number;
    try {
      for (let done = 0; done < frame.length; ) {
        done += (await this.file.write(frame, done, frame.length - done, offset + done)).bytesWritten;
      }
    } catch (error) {
      throw new InputError(`${this.path}: decoded frames cannot be kept there (${reasonOf(error)})`);
    }
    this.offsets.push(offset + frame.length);
  }

  async read(frame: number): Promise<Uint8Array> {
    const [offset, end] = [this.offsets[frame], this.offsets[frame + 1]];
    const bytes = new Uint8Array(end - offset);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.file.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw new Error(`${this.path} ends before frame ${frame} does`);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
  }
}
