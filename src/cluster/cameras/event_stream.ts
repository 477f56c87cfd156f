// The stream of all cameras' events. A worker writes to a camera's subject as long as it has the
// camera: each message names the number of the one before, so that the server refuses whatever an
// older owner sends.
import { InputError } from "../../errors.js";
import type { CameraEvent, EventChange, Sink } from "../../server/records.js";
import { type Cluster, natsReason } from "../connection.js";
import { type EventMessage, eventMessageSchema, type OpenEvent } from "./messages.js";
import { EVENTS, eventSubject, feedbackSubject } from "./stores.js";

/** What {@link EventStream} is made with. */
export interface EventStreamOptions {
  cluster: Pick<Cluster, "jetstream" | "manager">;
  /** The worker's name. */
  worker: string;
  /** The revision of a camera's lease, while it is this worker's. */
  leaseOf(camera: string): number | undefined;
  /** Whether this worker cannot expect to get a camera (again). */
  isElsewhere(camera: string): boolean | Promise<boolean>;
  /** An event of a camera that others have: it is kept on this machine only. */
  onRefused(change: EventChange): void;
}

/** A camera's part of the stream, as its owner knows it. */
interface Part {
  revision: number;
  /** Of the last message. */
  sequence: number;
  /** Events that go on, by their ids. */
  open: Map<string, OpenEvent>;
}

/** Writes events to the stream. */
export class EventStream implements Sink {
  readonly name = "cluster";
  /** By the cameras' ids. */
  private readonly parts = new Map<string, Part>();
  /** What is written to a camera's subject now. */
  private readonly last = new Map<string, Promise<unknown>>();
  /** Events whose ends were given up, by their cameras. */
  private readonly givenUp = new Map<string, Set<string>>();
  /** Events that go on and were begun by this process. */
  private readonly begun = new Set<string>();
  private failure: string | undefined;

  constructor(private readonly options: EventStreamOptions) {}

  /** Why it does not take events now. */
  get problem(): string | undefined {
    return this.failure;
  }

  /**
   * A camera was taken: whatever older owners send is refused from here on, and their events end.
   * @throws InputError if the server is away; `send` tries it again
   */
  taken(camera: { id: string; revision: number }): Promise<unknown> {
    return this.inTurn(camera.id, () => this.partOf(camera.id, camera.revision));
  }

  /** @throws InputError if it did not arrive */
  send(change: EventChange): Promise<void> {
    const { camera } = change.event;
    return this.inTurn(camera, async () => {
      try {
        await this.sendNow(camera, change);
        this.failure = undefined;
      } catch (error) {
        this.failure = natsReason(error);
        throw new InputError(this.failure);
      }
    });
  }

  private async sendNow(camera: string, change: EventChange): Promise<void> {
    const { leaseOf, isElsewhere, worker } = this.options;
    const revision = leaseOf(camera);
    if (revision === undefined) {
      if (!(await isElsewhere(camera))) throw new InputError(`the camera ${camera} has no worker: its events wait`);
      return change.change === "feedback" ? this.passOn(camera, change) : this.refuse(change);
    }
    const part = await this.partOf(camera, revision);
    const { id } = change.event;
    // It has ended in the stream, or never was there: another worker had the camera.
    if ((change.change === "update" || change.change === "end") && !part.open.has(id)) return;
    if (change.change === "new") {
      this.begun.add(id);
      // The log has sent all ends of what an earlier process began by now, or gave them up.
      const isLeft = ({ worker: by, event }: OpenEvent) => by === worker && !this.begun.has(event.id);
      await this.endLost(camera, part, [...part.open.values()].filter(isLeft));
    } else if (change.change === "end") this.begun.delete(id);
    const open = new Map(part.open);
    if (change.change === "end") open.delete(id);
    else if (change.change === "new" || change.change === "update") open.set(id, { worker, event: change.event });
    if (!(await this.write(camera, part, change, open))) this.refuse(change);
  }

  /** Keeps a change on this machine only. */
  private refuse(change: EventChange): void {
    const { id, camera } = change.event;
    if (change.change === "end") this.givenUp.set(camera, (this.givenUp.get(camera) ?? new Set()).add(id));
    this.options.onRefused(change);
  }

  /** Somebody has said something of an event of this machine, whose camera is elsewhere now. */
  private async passOn(camera: string, { change, time, event }: EventChange): Promise<void> {
    const { cluster, worker } = this.options;
    const text = JSON.stringify({ change, time, event, revision: 0, worker, open: [] });
    await cluster.jetstream.publish(feedbackSubject(camera), text, { msgID: `${event.id}.${change}.${time}` });
  }

  /** A camera's part, after older owners were shut out. */
  private async partOf(camera: string, revision: number): Promise<Part> {
    const known = this.parts.get(camera);
    if (known?.revision === revision) return known;
    const before = await this.lastOf(camera);
    const another = new InputError(`${camera} has another worker`);
    if (before?.message && before.message.revision > revision) throw another;
    const found = (before?.message?.open ?? []).filter(({ event }) => event.camera === camera);
    const part: Part = {
      ...{ revision, sequence: before?.sequence ?? 0 },
      open: new Map(found.map((one) => [one.event.id, one])),
    };
    const time = new Date().toISOString();
    if (!(await this.write(camera, part, { change: "taken", time }, part.open))) throw another;
    // What this worker began itself, its own log ends, unless that was given up.
    const isLost = ({ worker, event }: OpenEvent) =>
      worker !== this.options.worker || this.givenUp.get(camera)?.has(event.id);
    await this.endLost(camera, part, found.filter(isLost), before?.message?.time);
    this.givenUp.delete(camera);
    this.parts.set(camera, part);
    return part;
  }

  /** Ends events that nobody else ends. @param last when they were known to last */
  private async endLost(camera: string, part: Part, lost: readonly OpenEvent[], last = ""): Promise<void> {
    const time = new Date().toISOString();
    for (const { event } of lost) {
      const open = new Map(part.open);
      open.delete(event.id);
      const end = [event.start, event.peak?.time ?? "", last].sort().at(-1)!;
      const ended = { ...event, end, reason: "its worker was lost" };
      if (await this.write(camera, part, { change: "end", time, event: ended }, open)) continue;
      throw new InputError(`${camera} has another worker`);
    }
  }

  /** @returns whether it is in the stream: not if the camera has another owner */
  private async write(
    camera: string,
    part: Part,
    { change, time, event }: Pick<EventMessage, "change" | "time"> & { event?: CameraEvent },
    open: Map<string, OpenEvent>,
  ): Promise<boolean> {
    const { cluster, worker } = this.options;
    const { revision } = part;
    const text = JSON.stringify({ change, time, event, revision, worker, open: [...open.values()] });
    // The same change comes again with the same id, also from a process that was started again.
    const msgID = event ? `${event.id}.${change}.${time}` : `${camera}.${change}.${revision}`;
    for (;;) {
      try {
        const expect = { lastSubjectSequence: part.sequence };
        const { seq, duplicate } = await cluster.jetstream.publish(eventSubject(camera), text, { msgID, expect });
        // What was there before is in `part.open` already, and may have ended since.
        if (duplicate && seq <= part.sequence) return true;
        part.sequence = seq;
        part.open = open;
        return true;
      } catch (error) {
        if (!/wrong last sequence/i.test(String(error))) throw error;
        const found = await this.lastOf(camera);
        if (found?.message && found.message.revision > revision) return false;
        // An answer was lost, or what was last is too old and gone.
        if ((found?.sequence ?? 0) === part.sequence) throw error;
        part.sequence = found?.sequence ?? 0;
      }
    }
  }

  /** The last message of a camera; `message` is absent if it is not what it should be. */
  private async lastOf(camera: string): Promise<{ sequence: number; message?: EventMessage } | undefined> {
    const found = await this.options.cluster.manager.streams
      .getMessage(EVENTS, { last_by_subj: eventSubject(camera) })
      .catch((error: unknown) => {
        if (/no message found/i.test(String(error))) return null;
        throw error;
      });
    if (!found) return undefined;
    const message = messageOf(found.data);
    return { sequence: found.seq, ...(message && { message }) };
  }

  private inTurn<T>(camera: string, work: () => Promise<T>): Promise<T> {
    const done = (this.last.get(camera) ?? Promise.resolve()).then(work);
    this.last.set(
      camera,
      done.catch(() => {}),
    );
    return done;
  }
}

/** A message of the stream; undefined if it is not what it should be. */
export function messageOf(data: Uint8Array): EventMessage | undefined {
  try {
    return eventMessageSchema.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}
