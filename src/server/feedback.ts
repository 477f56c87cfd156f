// What people say of events: false alarms, whose clips are kept as normal video of the camera.
import { readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputError } from "../errors.js";
import { makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { normalFolder } from "./camera/normal_video.js";
import type { CameraEvent, EventChange } from "./records.js";

/** Takes feedback, and remembers it for changes that come later. */
export class Feedback {
  /** Ids of events that were said to be normal, and whose clips are still to come. */
  private readonly awaited = new Set<string>();

  /**
   * @param data the data folder
   * @param warn hears in one line, with the camera, of a clip that could not be kept
   */
  constructor(
    private readonly data: string,
    private readonly warn: (camera: string, line: string) => void,
  ) {}

  /**
   * Somebody says whether an event was normal. Its clip is kept as normal video of the camera, or
   * is no longer; one that the quota has deleted cannot be kept.
   * @returns the change to keep
   * @throws InputError if the clip cannot be copied
   */
  async say({ feedback: _, ...event }: CameraEvent, isNormal: boolean): Promise<EventChange> {
    if (isNormal) await this.keepClip(event);
    else await rm(this.copyOf(event), { force: true });
    if (isNormal && event.clip === undefined) this.awaited.add(event.id);
    else this.awaited.delete(event.id);
    const time = new Date().toISOString();
    return { change: "feedback", time, event: { ...event, ...(isNormal && { feedback: "normal" }) } };
  }

  /** A change of an event, with what was said of the event before. */
  carry(change: EventChange): EventChange {
    if (change.change === "feedback" || !this.awaited.has(change.event.id)) return change;
    return { ...change, event: { ...change.event, feedback: "normal" } };
  }

  /** Keeps the clip of a carried change, once that is on disk. */
  async kept({ change, event }: EventChange): Promise<void> {
    if (change !== "clip" || !this.awaited.delete(event.id)) return;
    await this.keepClip(event).catch((error: Error) => this.warn(event.camera, error.message));
  }

  private copyOf({ camera, id, clip }: CameraEvent): string {
    return join(normalFolder(this.data, basename(camera)), basename(clip ?? `${id}.mp4`));
  }

  private async keepClip(event: CameraEvent): Promise<void> {
    if (event.clip === undefined) return;
    const clip = join(this.data, event.clip);
    const video = await readFile(clip).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw new InputError(`${oneLine(clip)}: cannot be read (${reasonOf(error)})`);
    });
    if (!video) return;
    const copy = this.copyOf(event);
    await makeFolder(dirname(copy));
    await writeFileAtomic(copy, video);
  }
}
