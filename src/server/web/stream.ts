// Sends what happens to every open page, as server-sent events.
import type { ServerResponse } from "node:http";
import type { EventChange } from "../records.js";
import type { FrameMessage, WatchState } from "./api.js";
import type { Elsewhere } from "./elsewhere.js";
import { frameMessage, scrubbed } from "./state.js";
import type { WatchFeed } from "./watched.js";

/** Clients at a time. */
const MOST_CLIENTS = 20;
/** Milliseconds between states, and between frames of a camera. */
const STATE_EVERY = 2000;
const FRAME_EVERY = 200;
/** A frame may come so much earlier, since arrivals are uneven; the next one is later then. */
const EARLY = 50;
/** Bytes that wait for a client until it gets no more. */
const MOST_WAITING = 64 * 1024;
/** Milliseconds until a client that takes nothing is dropped. */
const PATIENCE = 10_000;

/** What a stream needs. */
export interface StreamOptions {
  /** Milliseconds; never steps back. */
  clock?(): number;
  scrub(text: string): string;
  state(): Promise<WatchState>;
  /** Cameras of other machines; events of all come from there. */
  elsewhere?: Pick<Elsewhere, "listen">;
}

/** The open pages. */
export class Streams {
  private readonly clients = new Set<Client>();
  /** When the next frame of each camera may be sent. */
  private readonly due = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private endListening: (() => void) | undefined;
  private readonly clock: () => number;

  constructor(
    feed: WatchFeed,
    private readonly options: StreamOptions,
  ) {
    this.clock = options.clock ?? (() => performance.now());
    feed.listen({
      ...(!options.elsewhere && { onChange: (change) => this.change(change) }),
      onOutcome: ({ config: { id } }, outcome) => this.frame(id, () => frameMessage(id, outcome)),
    });
  }

  /** Pages that are open. */
  get size(): number {
    return this.clients.size;
  }

  /**
   * Opens a stream.
   * @param outgoing the response, which is destroyed if the client is too slow
   * @returns undefined if there are too many already
   */
  open(outgoing?: ServerResponse): ReadableStream<Uint8Array> | undefined {
    if (this.clients.size >= MOST_CLIENTS) return undefined;
    const client = new Client(this.clock, (client) => this.leave(client), outgoing);
    this.clients.add(client);
    this.timer ??= setInterval(() => void this.state(), STATE_EVERY).unref();
    this.endListening ??= this.options.elsewhere?.listen({
      onChange: (change) => this.change(change),
      onFrame: (frame) => this.frame(frame.camera, () => frame),
    });
    client.send("retry: 2000\n\n", true);
    void this.state([client]);
    return client.stream;
  }

  private leave(client: Client): void {
    this.clients.delete(client);
    if (this.clients.size > 0) return;
    clearInterval(this.timer);
    this.endListening?.();
    [this.timer, this.endListening] = [undefined, undefined];
  }

  private change(change: EventChange): void {
    this.send("change", change, true);
  }

  private frame(id: string, message: () => FrameMessage): void {
    if (this.clients.size === 0) return;
    const now = this.clock();
    const due = this.due.get(id) ?? now;
    if (now < due) return;
    this.due.set(id, Math.max(due + FRAME_EVERY, now + FRAME_EVERY - EARLY));
    this.send("frame", message(), false);
  }

  private async state(clients: Iterable<Client> = this.clients): Promise<void> {
    // Who asks for the state itself is told what is wrong; here the next one may be there.
    const state = await this.options.state().catch(() => undefined);
    if (state) this.send("state", state, false, clients);
  }

  /** @param isNeeded whether a client that misses it is of no use */
  private send(event: string, value: unknown, isNeeded: boolean, clients: Iterable<Client> = this.clients): void {
    if (this.clients.size === 0) return;
    const text = `event: ${event}\ndata: ${JSON.stringify(scrubbed(value, this.options.scrub))}\n\n`;
    for (const client of [...clients]) client.send(text, isNeeded);
  }
}

/** An open page. */
class Client {
  readonly stream: ReadableStream<Uint8Array>;
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  private isOpen = true;
  /** When it last had room. */
  private took: number;

  constructor(
    private readonly clock: () => number,
    private readonly leave: (client: Client) => void,
    private readonly outgoing?: ServerResponse,
  ) {
    this.took = clock();
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.controller = controller;
        },
        cancel: () => this.end(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: MOST_WAITING }),
    );
  }

  /** Sends text if the client keeps up. One that misses what it needs is dropped: it comes back. */
  send(text: string, isNeeded: boolean): void {
    if (!this.isOpen) return;
    const now = this.clock();
    const hasRoom = (this.controller.desiredSize ?? 0) > 0;
    if (hasRoom) this.took = now;
    if (hasRoom) this.controller.enqueue(encoder.encode(text));
    else if (isNeeded || now - this.took > PATIENCE) this.drop();
  }

  private drop(): void {
    this.end();
    if (this.outgoing) this.outgoing.destroy();
    else this.controller.error(new Error("the client is too slow"));
  }

  private end(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.leave(this);
  }
}

const encoder = new TextEncoder();
