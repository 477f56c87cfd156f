// What a page shows of other machines: their cameras and events. It asks only while somebody looks.
import { setTimeout as sleep } from "node:timers/promises";
import type { Subscription } from "@nats-io/transport-node";
import type { EventFilter } from "../../server/event_query.js";
import type { CameraEvent } from "../../server/records.js";
import type { CameraState, ListedEvent, MachineState } from "../../server/web/api.js";
import type { Elsewhere, ElsewhereListener, ForwardedRequest } from "../../server/web/elsewhere.js";
import { ViewOnDemand } from "../cameras/on_demand.js";
import { overview } from "../cameras/overview.js";
import type { CameraStores } from "../cameras/stores.js";
import type { ClusterView } from "../cameras/view.js";
import { type Cluster, natsReason } from "../connection.js";
import {
  LOOK,
  type Look,
  pageSubject,
  readMessage,
  type Seen,
  seenSchema,
  seenSubject,
  unpackAnswer,
} from "./messages.js";
import { type KnownEvent, RecentEvents } from "./recent_events.js";

/** What {@link Others} is made with. */
export interface OthersOptions {
  cluster: Pick<Cluster, "nats" | "jetstream" | "manager" | "shown">;
  stores: Pick<CameraStores, "cameras" | "claims" | "workers">;
  /** This machine's name. */
  name: string;
  /** Whether its worker is in touch with the server. Default: it is. */
  isInTouch?(): boolean;
  /** See {@link Elsewhere.figures}. Default: it does not lead. */
  figures?(): Elsewhere["figures"];
}

/** Milliseconds between looks, and for which a state is shown. */
const LOOK_EVERY = 2000;
const FRESH = 8000;
/** Milliseconds to wait for states when nobody has looked before. */
const FIRST = 400;
/** Frames per second of each camera, and of all together. */
const FRAMES = 5;
const ALL_FRAMES = 100;
/** Milliseconds to wait for an answer. */
const PATIENCE = 10_000;

/** The cameras of other machines. */
export class Others implements Elsewhere {
  private readonly listeners = new Set<ElsewhereListener>();
  private readonly states = new Map<string, { seen: Extract<Seen, { type: "state" }>; time: number }>();
  private readonly view: ViewOnDemand;
  private recent: RecentEvents;
  private subscription: Subscription | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isAway = false;
  /** Cameras of the cluster, when that was last looked at. */
  private known = 0;
  private looked = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: OthersOptions) {
    this.recent = this.newRecent();
    this.view = new ViewOnDemand(options.cluster, options.stores, () => this.rest());
    void this.followConnection();
  }

  private newRecent(): RecentEvents {
    return new RecentEvents(this.options.cluster, (change, machine) => {
      const event = this.listed({ event: change.event, machine });
      for (const listener of this.listeners) listener.onChange({ ...change, event });
    });
  }

  /** What is known of the cluster; while the server is away, what was known. */
  private async seen(): Promise<ClusterView | undefined> {
    return this.isAway ? this.view.current : this.view.get();
  }

  /** Follows nothing while nobody looks. */
  private rest(): void {
    if (this.listeners.size > 0) return;
    this.recent.close();
    this.recent = this.newRecent();
  }

  private async followConnection(): Promise<void> {
    for await (const { type } of this.options.cluster.nats.status()) {
      if (type === "disconnect") this.isAway = true;
      if (type === "reconnect") this.isAway = false;
    }
  }

  get isInTouch(): boolean {
    return this.options.isInTouch?.() ?? true;
  }

  get figures(): Elsewhere["figures"] {
    return this.options.figures?.();
  }

  async state(): Promise<Awaited<ReturnType<Elsewhere["state"]>>> {
    if (performance.now() - this.looked > 2 * LOOK_EVERY) {
      this.look();
      await sleep(FIRST);
    }
    const { name } = this.options;
    const view = await this.seen();
    this.known = view?.cameras.size ?? 0;
    const now = performance.now();
    const cameras: CameraState[] = [];
    for (const [machine, { seen, time }] of this.states) {
      if (now - time > FRESH) this.states.delete(machine);
      else cameras.push(...seen.cameras.map((camera) => ({ ...camera, machine })));
    }
    const { cameras: known, workers } = view ? overview(view) : { cameras: [], workers: [] };
    const refused = new Map<string, string[]>();
    for (const [, { worker, problems = {} }] of view?.alive ?? []) {
      refused.set(
        worker,
        Object.entries(problems).map(([id, text]) => `${id} cannot be watched: ${text}`),
      );
    }
    const machines = workers.map(({ name: machine, capacity = null, cameras: count, fps }): MachineState => {
      const problems = [...(refused.get(machine) ?? []), ...(this.states.get(machine)?.seen.problems ?? [])];
      return { name: machine, own: machine === name, cameras: count, fps, capacity, problems };
    });
    const unwatched = known.filter((one) => one.state === "not watched").map(({ id }) => id);
    const problem = this.isAway
      ? `The server ${this.options.cluster.shown} does not answer: ${this.isInTouch ? "after a while nothing is watched" : "nothing is watched"}.`
      : null;
    return { cameras, machines, unwatched: this.isAway ? [] : unwatched, problem };
  }

  async events(filter: EventFilter): Promise<ListedEvent[]> {
    return (await this.recent.select(filter)).map((known) => this.listed(known));
  }

  async machineOf(camera: string): Promise<string | undefined> {
    const view = await this.seen();
    const session = view?.ownerOf(camera);
    const worker = session === undefined ? undefined : view?.workers.get(session)?.sign.worker;
    return worker === this.options.name ? undefined : worker;
  }

  async machineOfEvent(id: string): Promise<string | undefined> {
    const machine = (await this.recent.of(id))?.machine;
    return machine === this.options.name ? undefined : machine;
  }

  listen(listener: ElsewhereListener): () => void {
    this.listeners.add(listener);
    this.timer ??= setInterval(() => this.look(), LOOK_EVERY).unref();
    this.look();
    void this.recent.begin();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  async ask(machine: string, request: ForwardedRequest): Promise<Response> {
    const first = await this.askOnce(machine, request);
    const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(first.headers["content-range"] ?? "");
    if (request.method !== "GET" || !request.path.startsWith("/files/") || !range) return responseOf(first);
    return this.inParts(machine, request, first, range.slice(1).map(Number) as [number, number, number]);
  }

  close(): void {
    clearInterval(this.timer);
    this.subscription?.unsubscribe();
    this.recent.close();
    this.view.close();
  }

  private look(): void {
    const { cluster, name } = this.options;
    if (cluster.nats.isClosed()) return;
    this.looked = performance.now();
    this.subscription ??= cluster.nats.subscribe(seenSubject(name), { callback: (_, { data }) => this.hear(data) });
    const frames = this.listeners.size === 0 ? 0 : Math.min(FRAMES, ALL_FRAMES / Math.max(1, this.known));
    cluster.nats.publish(LOOK, JSON.stringify({ page: name, frames } satisfies Look));
  }

  private hear(data: Uint8Array): void {
    const seen = readMessage(seenSchema, data) as Seen | undefined;
    if (seen?.type === "state") this.states.set(seen.machine, { seen, time: performance.now() });
    else if (seen) for (const listener of this.listeners) listener.onFrame(seen.frame);
  }

  /** An event whose files lie on its machine. */
  private listed({ event, machine }: KnownEvent): CameraEvent {
    if (machine === this.options.name) return event;
    const there = (file: string) => `machines/${machine}/${file}`;
    const { clip, snapshot } = event;
    return {
      ...event,
      ...(clip !== undefined && { clip: there(clip) }),
      ...(snapshot !== undefined && { snapshot: there(snapshot) }),
    };
  }

  private async askOnce(machine: string, request: ForwardedRequest) {
    const { nats } = this.options.cluster;
    const subject = pageSubject(machine);
    const { data } = await nats
      .request(subject, JSON.stringify(request), { timeout: PATIENCE })
      .catch((error: unknown) => {
        throw new Error(/no responders/i.test(String(error)) ? "it is not there now" : natsReason(error));
      });
    const { head, body } = unpackAnswer(data);
    return { ...head, body };
  }

  /** A file that comes in several messages, each when the reader wants more. */
  private inParts(
    machine: string,
    request: ForwardedRequest,
    first: Awaited<ReturnType<Others["askOnce"]>>,
    [start, end, total]: [number, number, number],
  ): Response {
    const { range } = request.headers;
    const [, to = ""] = /^bytes=\d+-(\d*)$/.exec(range ?? "") ?? [];
    const last = to === "" ? total - 1 : Math.min(Number(to), total - 1);
    let next = end + 1;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(first.body),
        pull: async (controller) => {
          if (next > last) return controller.close();
          const headers = { range: `bytes=${next}-${last}` };
          const part = await this.askOnce(machine, { ...request, headers });
          // The file may have been replaced, or deleted.
          const isSame = part.status === 206 && part.headers.etag === first.headers.etag && part.body.length > 0;
          if (!isSame) return controller.error(new Error("the file has changed"));
          next += part.body.length;
          controller.enqueue(part.body);
        },
      },
      { highWaterMark: 2 },
    );
    const headers: Record<string, string> = { ...first.headers, "content-length": String(last - start + 1) };
    delete headers["content-range"];
    if (range !== undefined) headers["content-range"] = `bytes ${start}-${last}/${total}`;
    return new Response(body, { status: range === undefined ? 200 : 206, headers });
  }
}

function responseOf({
  status,
  headers,
  body,
}: {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}): Response {
  const isEmpty = [204, 304].includes(status) || body.length === 0;
  return new Response(isEmpty ? null : new Uint8Array(body), { status, headers });
}
