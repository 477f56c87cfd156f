// Says which worker watches which camera, and writes that down for each. Only the leader does it.
import { counted } from "../../counted.js";
import { oneLine } from "../../node/files/messages.js";
import { isAddress } from "../../node/media/address.js";
import type { Cluster } from "../connection.js";
import { answerTime } from "./lease.js";
import { MOST_PLANNED, type Plan, type Sign } from "./messages.js";
import { assign, Carried, drawn, type SpreadCamera, type SpreadWorker, surplus } from "./spread.js";
import type { CameraStores } from "./stores.js";
import { ClusterView } from "./view.js";

/** What a {@link Planner} is made with. */
export interface PlannerOptions {
  cluster: Pick<Cluster, "nats">;
  stores: Pick<CameraStores, "cameras" | "claims" | "workers" | "plans">;
  /** The revision with which its leader began. */
  term: number;
  /** Seconds. */
  lease: number;
  /** Whether workers have had the time to give signs of life. */
  isSettled: boolean;
  /** Whether others still follow this leader. */
  isLeading(): boolean;
  /** Milliseconds; never steps back. */
  clock(): number;
  /** Takes in a line of the log. */
  onNotice(level: "info" | "warn", line: string): void;
}

/** Shares of a lease: how long it looks before it plans anything, and between moves. */
const SETTLE = 1 / 10;
const PAUSE = 1 / 3;
/** Shares of a lease after which a camera that its worker does not take is for another one. */
const OVERDUE = 1 / 2;
/** Leases after which a camera is its worker's again that it was to give away. */
const GIVE_UP = 3;

/** Most cameras that a line names. */
const NAMED = 10;

/** A camera that a session is to take. */
interface Pending {
  session: string;
  since: number;
}

/** A camera that its session is to give away, and the claim that it has. */
interface Moving extends Pending {
  id: string;
  claim: number;
}

type Alive = ReadonlyMap<string, Sign>;
/** Names of cameras for the log; of many, the first ones. */
const listed = (ids: readonly string[]): string =>
  ids.length <= NAMED ? ids.join(", ") : `${ids.slice(0, NAMED).join(", ")} and ${ids.length - NAMED} more`;
const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

/** Plans until it is closed. */
export class Planner {
  private readonly view: ClusterView;
  private readonly pending = new Map<string, Pending>();
  /** Sessions that were to take a camera and did not, by cameras. */
  private readonly failed = new Map<string, Set<string>>();
  /** Since when nobody has had a camera, and those of which that was said. */
  private readonly free = new Map<string, number>();
  private readonly warned = new Set<string>();
  /** Workers that were alive, by their sessions. */
  private readonly seen = new Map<string, string>();
  private moving: Moving | undefined;
  private moved = Number.NEGATIVE_INFINITY;
  /** When it begins; undefined: it has not read all yet. */
  private beginAt: number | undefined;
  /** What was written for sessions, and those for which it is being written. */
  private readonly written = new Map<string, string>();
  private readonly writing = new Set<string>();
  /** Sessions whose signs of life were deleted. */
  private readonly buried = new Set<string>();
  /** What was known when it last looked, and when it looks again though nothing has changed. */
  private looked = "";
  private lookAt = 0;

  constructor(private readonly options: PlannerOptions) {
    const { cluster, stores, clock, lease, isSettled } = options;
    this.view = new ClusterView(cluster, stores, { clock });
    void this.view.ready.then(() => {
      this.beginAt = clock() + (isSettled ? 0 : 1000 * lease * SETTLE);
    });
  }

  /** How many workers are alive, and how many cameras have none. */
  get figures(): { workers: number; unwatched: number } {
    return { workers: this.seen.size, unwatched: this.free.size };
  }

  close(): void {
    this.view.close();
  }

  /** Compares what is with what should be, if something has changed. */
  look(): void {
    const { view } = this;
    const now = this.options.clock();
    if (this.beginAt === undefined || now < this.beginAt || !this.options.isLeading()) return;
    const alive: Alive = new Map(view.alive);
    const known = [view.changes, alive.size].join();
    if (known === this.looked && now < this.lookAt) return;
    this.looked = known;
    this.lookAt = Number.POSITIVE_INFINITY;
    this.forget(alive, now);
    const free = this.freeCameras(alive);
    this.give(free, alive, now);
    this.tellLost(alive);
    this.tellFree(free, now);
    this.move(alive, now);
    if (this.pending.size > 0 || this.moving) this.lookAgain(now + 1000 * OVERDUE * this.options.lease);
    this.write(alive);
  }

  /** Makes it look at a time at the latest. */
  private lookAgain(time: number): void {
    this.lookAt = Math.min(this.lookAt, time);
  }

  /** Drops what has come to be, and what does not come to be. */
  private forget(alive: Alive, now: number): void {
    const { view, options } = this;
    for (const [id, { session, since }] of this.pending) {
      const isWanted = view.cameras.get(id)?.value?.enabled === true;
      if (!isWanted || view.ownerOf(id) !== undefined) {
        this.pending.delete(id);
        this.failed.delete(id);
        continue;
      }
      const sign = alive.get(session);
      const isLate = now - since > 1000 * OVERDUE * options.lease;
      if (isLate) this.failed.set(id, (this.failed.get(id) ?? new Set()).add(session));
      if (isLate || !sign?.isOpen || sign.problems?.[id] !== undefined) this.pending.delete(id);
    }
    const { moving } = this;
    if (!moving) return;
    const isOver = view.claims.get(moving.id)?.revision !== moving.claim || !alive.has(moving.session);
    if (isOver || now - moving.since > 1000 * GIVE_UP * options.lease) this.moving = undefined;
  }

  /** Cameras that are to be watched, and whose claims name nobody who is alive. */
  private freeCameras(alive: Alive): SpreadCamera[] {
    return [...this.view.carried].flatMap(([session, cameras]) =>
      session !== undefined && alive.has(session) ? [] : [...cameras],
    );
  }

  /** Gives cameras that nobody has to workers. */
  private give(all: readonly SpreadCamera[], alive: Alive, now: number): void {
    const free = all.filter(({ id }) => !this.pending.has(id));
    if (free.length === 0) return;
    const given = assign(free, this.workers(alive));
    for (const [id, session] of given) this.pending.set(id, { session, since: now });
    // Where all have failed, all may try again.
    for (const { id } of free) if (!given.has(id) && this.failed.delete(id)) this.lookAgain(now);
  }

  /** Says which workers fell silent. */
  private tellLost(alive: Alive): void {
    for (const [session, worker] of this.seen) {
      if (alive.has(session)) continue;
      this.seen.delete(session);
      // One that has ended, or begun again, leaves no sign of life.
      if (!this.view.workers.has(session)) continue;
      const { size = 0 } = this.view.carried.get(session) ?? {};
      const line = `${oneLine(worker)} gives no sign of life: ${counted(size, "camera")} for other workers`;
      this.options.onNotice("warn", line);
    }
    for (const [session, { worker }] of alive) this.seen.set(session, worker);
  }

  /** Says which cameras nobody has had for a lease, and when that is over. */
  private tellFree(free: readonly SpreadCamera[], now: number): void {
    const { lease, onNotice } = this.options;
    const ids = new Set(free.map(({ id }) => id));
    for (const id of this.free.keys()) if (!ids.has(id)) this.free.delete(id);
    for (const id of ids) if (!this.free.has(id)) this.free.set(id, now);
    const late = [...ids].filter((id) => now - this.free.get(id)! >= 1000 * lease);
    const added = late.filter((id) => !this.warned.has(id));
    if (added.length > 0) {
      onNotice("warn", `nobody watches ${listed(added)}: no worker has room, or can watch them`);
    }
    const over = [...this.warned].filter((id) => !ids.has(id));
    if (over.length > 0) onNotice("info", `${listed(over)}: watched again, or not wanted any longer`);
    for (const id of added) this.warned.add(id);
    for (const id of over) this.warned.delete(id);
    if (late.length < ids.size) this.lookAgain(now + 1000 * lease);
  }

  /** Moves a camera, if there is none that somebody is to take. */
  private move(alive: Alive, now: number): void {
    if (this.pending.size > 0 || this.moving) return;
    const next = this.moved + 1000 * PAUSE * this.options.lease;
    if (now < next) {
      this.lookAgain(next);
      return;
    }
    const found = surplus(this.workers(alive), { has: (id) => this.isFile(id) });
    if (!found) return;
    this.moved = now;
    this.moving = { ...found, since: now, claim: this.view.claims.get(found.id)?.revision ?? 0 };
  }

  /** Whether a camera is a file or a folder: another worker would begin it again. */
  private isFile(id: string): boolean {
    const source = this.view.cameras.get(id)?.value?.settings.source;
    return typeof source === "string" && !isAddress(source);
  }

  private workers(alive: Alive): SpreadWorker[] {
    const more = new Map<string, Carried>();
    for (const [id, { session }] of this.pending) {
      const camera = this.view.cameras.get(id)?.value;
      if (!camera) continue;
      const carried = more.get(session) ?? new Carried(this.view.carried.get(session));
      carried.add({ id, fps: camera.fps });
      more.set(session, carried);
    }
    const refuses = new Map<string, string[]>();
    for (const [id, sessions] of this.failed) {
      for (const session of sessions) refuses.set(session, [...(refuses.get(session) ?? []), id]);
    }
    return [...alive].map(([session, { capacity, most, isOpen, problems = {} }]) => ({
      ...{ session, isOpen },
      carried: more.get(session) ?? this.view.carried.get(session) ?? new Carried(),
      refuses: [...Object.keys(problems), ...(refuses.get(session) ?? [])],
      ...(capacity !== undefined && { capacity }),
      ...(most !== undefined && { most }),
    }));
  }

  /** Writes the plans that have changed. */
  private write(alive: Alive): void {
    const pending = new Map<string, string[]>();
    for (const [id, { session }] of this.pending) pending.set(session, [...(pending.get(session) ?? []), id]);
    const left = this.left(alive);
    for (const [session, sign] of alive) {
      const own = [...(this.view.carried.get(session) ?? [])].map(({ id }) => this.planned(id, true));
      const next = (pending.get(session) ?? []).map((id) => this.planned(id, false));
      const cameras = [...own.filter(({ id }) => id !== this.moving?.id), ...next].sort(byId).slice(0, MOST_PLANNED);
      const measure = this.toMeasure(sign);
      this.put(session, { cameras, end: left.get(session) ?? [], ...(measure !== undefined && { measure }) });
    }
    const { stores } = this.options;
    for (const session of this.written.keys()) {
      if (alive.has(session)) continue;
      this.written.delete(session);
      void stores.plans.delete(session).catch(() => {});
    }
    for (const session of this.view.superseded) {
      if (this.buried.has(session)) continue;
      this.buried.add(session);
      void stores.workers.delete(session).catch(() => this.buried.delete(session));
    }
  }

  private planned(id: string, own: boolean): Plan["cameras"][number] {
    const { cameras, claims } = this.view;
    return { id, claim: claims.get(id)?.revision ?? 0, record: cameras.get(id)?.revision ?? 0, own };
  }

  /** Cameras that were removed after their worker had crashed, by who ends their events. */
  private left(alive: Alive): Map<string, Plan["end"]> {
    const left = new Map<string, Plan["end"]>();
    for (const id of this.view.left) {
      const { value, revision = 0 } = this.view.claims.get(id) ?? {};
      if (value?.session !== undefined && alive.has(value.session)) continue;
      const order = (session: string) => drawn(`${session} ${id}`);
      const [chosen] = [...alive.keys()].sort((a, b) => order(a) - order(b));
      if (chosen !== undefined) left.set(chosen, [...(left.get(chosen) ?? []), { id, claim: revision }]);
    }
    return left;
  }

  /** The first camera with which a worker can measure what it carries, if it does not know that. */
  private toMeasure({ capacity, most, problems = {} }: Sign): string | undefined {
    if (capacity !== undefined || most !== undefined) return undefined;
    for (const [id, { value }] of this.view.cameras) if (value?.enabled && problems[id] === undefined) return id;
    return undefined;
  }

  private put(session: string, plan: Omit<Plan, "term" | "known">): void {
    const { term, lease, stores } = this.options;
    const text = JSON.stringify(plan);
    if (this.written.get(session) === text || this.writing.has(session)) return;
    this.writing.add(session);
    this.written.set(session, text);
    const whole: Plan = { term, known: this.view.lastClaim, ...plan };
    stores.plans
      .put(session, JSON.stringify(whole), { timeout: answerTime(lease) })
      .catch(() => this.written.delete(session))
      .finally(() => {
        this.writing.delete(session);
        this.lookAt = 0;
      });
  }
}
