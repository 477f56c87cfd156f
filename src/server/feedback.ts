// What people say of events: false alarms, whose clips are kept as normal video of the camera.
import { readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputError } from "../errors.js";
import { makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { normalFolder } from "./camera/normal_video.js";
import type { CameraEvent, EventChange } from "./records.js";

/** Events whose latest state is remembered: those that may change while the log is read. */
const REMEMBERED = 1000;

/** Takes feedback, and remembers it for changes that come later. */
export class Feedback {
  /** Ids of events that were said to be normal, and whose clips are still to come. */
  private readonly awaited = new Set<string>();
  /** The latest states of events, by their ids. The event that changed last is the last one. */
  private readonly states = new Map<string, CameraEvent>();

  /**
   * @param data the data folder
   * @param warn hears in one line, with the camera, of a clip that could not be kept
   */
  constructor(
    private readonly data: string,
    private readonly warn: (camera: string, line: string) => void,
  ) {}

  /** An event as its last change left it; undefined if that was long ago. @param id its id */
  latest(id: string): CameraEvent | undefined {
    return this.states.get(id);
  }

  /**
   * Somebody says whether an event was normal. Its clip is kept as normal video of the camera, or
   * is no longer; one that the quota has deleted cannot be kept.
   * @returns the change to keep
   * @throws InputError if the clip cannot be copied
   */
  async say({ feedback: _, ...event }: CameraEvent, isNormal: boolean): Promise<EventChange> {
    // Before the first wait: the clip may come meanwhile.
    if (isNormal && event.clip === undefined) this.awaited.add(event.id);
    else this.awaited.delete(event.id);
    if (isNormal) await this.keepClip(event);
    else await rm(this.copyOf(event), { force: true });
    const time = new Date().toISOString();
    return { change: "feedback", time, event: { ...event, ...(isNormal && { feedback: "normal" }) } };
  }

  /**
   * A change of an event, with what was said of the event before. Feedback gets the latest state of
   * its event: it may have changed since it was read. Changes are to be logged in the order of the
   * calls.
   */
  carry(change: EventChange): EventChange {
    const carried = this.carried(change);
    const { event } = carried;
    this.states.delete(event.id);
    this.states.set(event.id, event);
    const [oldest] = this.states.keys();
    if (this.states.size > REMEMBERED) this.states.delete(oldest);
    return carried;
  }

  private carried(change: EventChange): EventChange {
    const { id, feedback } = change.event;
    if (change.change === "feedback") {
      const { feedback: _, ...event } = this.latest(id) ?? change.event;
      return { ...change, event: { ...event, ...(feedback && { feedback }) } };
    }
    return this.awaited.has(id) ? { ...change, event: { ...change.event, feedback: "normal" } } : change;
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
