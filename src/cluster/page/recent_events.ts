// The events of all cameras, as far back as a page shows them.
import { setTimeout as sleep } from "node:timers/promises";
import type { QueuedIterator, Status } from "@nats-io/transport-node";
import { type EventFilter, selectEvents } from "../../server/event_query.js";
import type { CameraEvent, EventChange } from "../../server/records.js";
import { messageOf } from "../cameras/event_stream.js";
import { EVENTS } from "../cameras/stores.js";
import type { Cluster } from "../connection.js";

/** Messages that are read at the start, the newest, and events that are kept. */
const READ = 20_000;
const KEPT = 5000;
/** Milliseconds until a stream that cannot be followed is tried again. */
const TRY_AGAIN = 500;

/** An event, and the machine that it is of. */
export interface KnownEvent {
  event: CameraEvent;
  machine: string;
}

/** Follows the stream from the first question on. */
export class RecentEvents {
  private readonly known = new Map<string, KnownEvent>();
  private ready: Promise<void> | undefined;
  /** Of the last message that was read. */
  private sequence: number | undefined;
  private stop: () => void = () => {};
  private status: QueuedIterator<Status> | undefined;
  private isClosed = false;

  /** @param onChange hears of each change that comes from now on */
  constructor(
    private readonly cluster: Pick<Cluster, "jetstream" | "manager" | "nats">,
    private readonly onChange: (change: EventChange, machine: string) => void,
  ) {}

  /** Resolves once all was read that is there now. */
  begin(): Promise<void> {
    this.ready ??= new Promise((resolve) => {
      void this.follow(resolve);
      void this.readAgain();
    });
    return this.ready;
  }

  /** Newest first. @throws InputError if a time is none */
  async select(filter: EventFilter): Promise<KnownEvent[]> {
    await this.begin();
    const events = selectEvents(
      [...this.known.values()].map(({ event }) => event),
      filter,
    );
    return events.map(({ id }) => this.known.get(id)!);
  }

  async of(id: string): Promise<KnownEvent | undefined> {
    await this.begin();
    return this.known.get(id);
  }

  close(): void {
    this.isClosed = true;
    this.stop();
    // The connection holds on to its listeners.
    this.status?.stop();
    this.known.clear();
  }

  private async readAgain(): Promise<void> {
    // Its type does not say that it can be stopped.
    this.status = this.cluster.nats.status() as QueuedIterator<Status>;
    for await (const { type } of this.status) if (type === "reconnect") this.stop();
  }

  private async follow(onReady: () => void): Promise<void> {
    while (!this.isClosed) {
      try {
        const { first_seq: first, last_seq: last } = (await this.cluster.manager.streams.info(EVENTS)).state;
        // A server that has lost its data begins again.
        const seen = this.sequence !== undefined && this.sequence <= last ? this.sequence : undefined;
        const from = Math.max(1, first, seen === undefined ? last - READ : seen + 1);
        const consumer = await this.cluster.jetstream.consumers.get(EVENTS, {
          opt_start_seq: from,
          deliver_policy: "by_start_sequence",
        });
        if (from > last) onReady();
        const messages = await consumer.consume();
        this.stop = () => void messages.close();
        if (this.isClosed) this.stop();
        for await (const { seq, data } of messages) {
          this.sequence = seq;
          this.take(data, seq > last || seen !== undefined);
          if (seq >= last) onReady();
          if (this.isClosed) break;
        }
      } catch {
        // The server is away: the connection comes again by itself.
      }
      if (!this.isClosed) await sleep(TRY_AGAIN, undefined, { ref: false });
    }
  }

  private take(data: Uint8Array, isNews: boolean): void {
    const message = messageOf(data);
    if (!message?.event || message.change === "taken") return;
    const { change, time, event: found, worker } = message;
    const event = found as CameraEvent;
    const before = this.known.get(event.id);
    // Who ends the event of a machine that was lost does not have its clip.
    const machine = before?.machine ?? worker;
    const kept = { ...event, ...(before?.event.clip && !event.clip && { clip: before.event.clip }) };
    this.known.delete(event.id);
    this.known.set(event.id, { event: kept, machine });
    const [oldest] = this.known.keys();
    if (this.known.size > KEPT) this.known.delete(oldest);
    if (isNews) this.onChange({ change, time, event: kept }, machine);
  }
}
