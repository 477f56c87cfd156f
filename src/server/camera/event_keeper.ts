// Keeps the events of a camera in their order, with a picture and a clip of each.
import { dirname, join } from "node:path";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraConfig } from "../config/config.js";
import type { CameraEvent, ChangeKind, EventChange } from "../records.js";
import { clipBase } from "../storage.js";
import type { Outcome } from "./decisions.js";
import type { MachineClock } from "./frame_time.js";
import type { RecordedMoment } from "./normal_keeper.js";
import { LONGEST_CLIP, type Recorder } from "./recorder.js";

/** What {@link EventKeeper} needs of its camera. */
export interface EventKeeperHost {
  /** The data folder. */
  data: string;
  /** Seconds of clips before and after events; absent: there are none. */
  clip: CameraConfig["clip"];
  clock: Pick<MachineClock, "wall">;
  /** Keeps a change of an event; resolves once it is safe. */
  keep(change: EventChange): Promise<unknown>;
  /** Whether the disk has room for pictures. */
  canRecord(): boolean;
  /** Takes in a line about a problem that ends nothing. */
  warn(line: string): void;
}

/** Keeps events of a camera. */
export class EventKeeper {
  /** Of what clips are cut; absent: nothing is recorded. */
  recorder: Pick<Recorder, "hold" | "release" | "clip"> | undefined;
  /** When events began, on the recording's clock. */
  private readonly begins = new Map<string, RecordedMoment>();
  /** The picture of the highest level of the event that goes on. */
  private peak: { event: string; level: number; picture: Uint8Array | undefined } | undefined;
  /** Ids of events that have a snapshot. */
  private readonly snapshots = new Set<string>();
  /** Changes are kept in their order. */
  private keeping: Promise<void> = Promise.resolve();
  private readonly clips = new Set<Promise<void>>();

  constructor(private readonly host: EventKeeperHost) {}

  /** Takes in a frame's outcome, with the picture that is shown at that time. */
  seen({ event, level }: Outcome, picture: Uint8Array | undefined): void {
    if (event === undefined || (this.peak?.event === event && this.peak.level >= level)) return;
    this.peak = { event, level, picture };
  }

  /**
   * Takes in a change of an event.
   * @param at its moment on the recording's clock; undefined if nothing is recorded
   * @param present the picture that is shown now, as JPEG
   */
  take(
    change: "new" | "update" | "end",
    event: CameraEvent,
    at: RecordedMoment | undefined,
    present: Uint8Array | undefined,
  ): void {
    if (event.kind === "anomaly" && change === "new" && at) {
      this.begins.set(event.id, at);
      this.recorder?.hold(event.id, at.connection, at.time);
    }
    const picture = this.pictureOf(change, event, present);
    this.keeping = this.keeping.then(async () => {
      const shown = event.kind === "offline" ? event : await this.withSnapshot(change, event, picture);
      await this.keep(change, shown);
      if (change === "end") this.makeClip(shown, at);
    });
  }

  /** The picture of an event's highest moment, or of its begin if it has no level. */
  private pictureOf(change: ChangeKind, { id, peak }: CameraEvent, present: Uint8Array | undefined) {
    const known = this.peak?.event === id ? this.peak : undefined;
    if (change === "end") return known?.picture;
    if (!peak) return known?.picture ?? present;
    if (known && known.level >= peak.level) return known.picture;
    this.peak = { event: id, level: peak.level, picture: present };
    return present;
  }

  /** Waits until all changes are kept, and all clips are made. */
  async close(): Promise<void> {
    await this.keeping;
    await Promise.all(this.clips);
  }

  private async keep(change: ChangeKind, event: CameraEvent): Promise<void> {
    const time = new Date(this.host.clock.wall()).toISOString();
    await this.host.keep({ change, time, event }).catch((error: unknown) => this.host.warn(reasonOf(error)));
  }

  /** Writes the picture of an event's begin or peak. */
  private async withSnapshot(
    change: ChangeKind,
    event: CameraEvent,
    picture: Uint8Array | undefined,
  ): Promise<CameraEvent> {
    const { host } = this;
    const snapshot = `${clipBase(event)}.jpg`;
    // On a full disk what is left is for events.
    if (picture && host.canRecord()) {
      try {
        await makeFolder(dirname(join(host.data, snapshot)));
        await writeFileAtomic(join(host.data, snapshot), picture);
        this.snapshots.add(event.id);
      } catch (error) {
        host.warn(`no snapshot: ${reasonOf(error)}`);
      }
    }
    const shown = this.snapshots.has(event.id) ? { ...event, snapshot } : event;
    if (change === "end") this.snapshots.delete(event.id);
    return shown;
  }

  /** @param end on the recording's clock; absent: nothing is recorded any more */
  private makeClip(event: CameraEvent, end: RecordedMoment | undefined): void {
    const { recorder, host } = this;
    const begin = this.begins.get(event.id);
    this.begins.delete(event.id);
    if (!begin || !recorder || !host.clip) return;
    const { before, after } = host.clip;
    const clip = `${clipBase(event)}.mp4`;
    // A recording that began again has lost the rest.
    const until = end?.connection === begin.connection ? end.time + after : Number.POSITIVE_INFINITY;
    const to = Math.min(until, begin.time + LONGEST_CLIP);
    const stretch = { connection: begin.connection, from: begin.time - before, to };
    const making = (async () => {
      try {
        await makeFolder(dirname(join(host.data, clip)));
        if (await recorder.clip(event.id, stretch, join(host.data, clip))) await this.keep("clip", { ...event, clip });
        else host.warn(`no clip of ${event.id}: nothing was recorded`);
      } catch (error) {
        recorder.release(event.id);
        host.warn(`no clip of ${event.id}: ${reasonOf(error)}`);
      }
    })();
    this.clips.add(making);
    void making.finally(() => this.clips.delete(making));
  }
}
