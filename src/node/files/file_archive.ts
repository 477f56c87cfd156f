import { randomBytes } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { InputError } from "../../errors.js";
import type { FrameArchive } from "../../train/frame_archive.js";
import { freeBytes } from "./free_bytes.js";
import { reasonOf } from "./messages.js";

/**
 * Keeps decoded frames in a temporary file. Except on Windows, the file has no name, so that
 * nothing remains of it however the process ends.
 */
export class FileArchive implements FrameArchive {
  /** Where each frame begins, and where the last one ends, in bytes. */
  private readonly offsets: number[] = [0];

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** @throws InputError if the folder cannot be written */
  static async create(folder: string = tmpdir()): Promise<FileArchive> {
    const path = join(folder, `sdmae-frames-${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
    try {
      const file = await open(path, "wx+");
      if (process.platform !== "win32") await rm(path, { force: true });
      return new FileArchive(path, file);
    } catch (error) {
      throw new InputError(`${folder}: decoded frames cannot be stored there (${reasonOf(error)})`);
    }
  }

  async expect(bytes: number): Promise<string | undefined> {
    const folder = dirname(this.path);
    const free = await freeBytes(folder);
    if (bytes < free) return undefined;
    const gigabytes = (count: number) => `${(count / 1e9).toFixed(1)} GB`;
    return `${folder}: decoded frames need ${gigabytes(bytes)} for a while, and ${gigabytes(free)} are free; smaller videos need less: ffmpeg -i VIDEO -vf fps=10,scale=640:-2 SMALLER.mp4`;
  }

  async add(frame: Uint8Array): Promise<void> {
    const offset = this.offsets[this.offsets.length - 1];
    try {
      for (let done = 0; done < frame.length; ) {
        done += (await this.file.write(frame, done, frame.length - done, offset + done)).bytesWritten;
      }
    } catch (error) {
      throw new InputError(`${this.path}: decoded frames cannot be stored there (${reasonOf(error)})`);
    }
    this.offsets.push(offset + frame.length);
  }

  async read(frame: number): Promise<Uint8Array> {
    const [offset, end] = [this.offsets[frame], this.offsets[frame + 1]];
    const bytes = new Uint8Array(end - offset);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.file.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw new Error(`${this.path} ends within frame ${frame}`);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
  }
}
