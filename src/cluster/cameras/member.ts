// A worker's part in the cluster: it gives signs of life, takes cameras that nobody has, and gives
// them back. A camera is this worker's as long as its claim names the session and the session's
// last sign is younger than a lease.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { oneLine } from "../../node/files/messages.js";
import { natsReason } from "../connection.js";
import type { CameraRecord, Claim, Sign } from "./messages.js";
import { assign, Carried, drawn, type SpreadCamera, type SpreadWorker, surplus } from "./spread.js";
import type { CameraStores } from "./stores.js";
import type { ClusterView } from "./view.js";

/** A camera that a worker has. */
export interface HeldCamera {
  id: string;
  /** Of the lease: a later owner's is higher. */
  revision: number;
  record: CameraRecord;
  /** Of the record. */
  recordRevision: number;
}

/** What {@link Member} is made with. */
export interface MemberOptions {
  stores: Pick<CameraStores, "claims" | "workers">;
  /** Follows the same stores. */
  view: ClusterView;
  /** The worker's name. */
  name: string;
  /** Seconds. */
  lease: number;
  /** What it can do, and cannot. */
  facts(): Pick<Sign, "capacity" | "most" | "isOpen" | "problems" | "silent">;
  /**
   * Goes on with these cameras alone; resolves once the others have ended.
   * @param why these end, in a few words
   */
  watch(held: ReadonlyMap<string, HeldCamera>, why: string): Promise<void>;
  /** A camera was taken: older owners are to be refused from here on. */
  taken(camera: Pick<HeldCamera, "id" | "revision">): Promise<void>;
  /** Resolves once all that was written of cameras has gone out, or after some seconds. */
  settled(): Promise<void>;
  /** Takes in a line of the log. */
  onNotice(level: "info" | "warn" | "error", line: string): void;
  /** Milliseconds; never steps back. */
  clock?(): number;
}

/** Signs of life, and looks, within a lease. */
const SIGNS = 3;
const LOOKS = 20;
/** Milliseconds between looks, at most. */
const LOOK = 500;
/** Every worker hears of every claim: so many a second all of them together are to hear at most. */
const HEARD = 20_000;
/** The share of a lease after which a worker that is cut off stops: others wait for all of it. */
const KEEP = 0.9;
/** Shares of a lease: how long it looks before it takes anything, and between gifts. */
const SETTLE = 1 / 10;
const PAUSE = 1 / 3;
/** Shares of a lease after which a camera that its worker does not take is anybody's. */
const OVERDUE = 1 / 2;

/** Takes cameras, and keeps them. */
export class Member {
  /** Changes when it was cut off: it is another worker then, which has nothing. */
  session: string;
  private held = new Map<string, HeldCamera>();
  private readonly clock: () => number;
  /** When the last sign was sent that arrived; undefined: none of this session has. */
  private signed: number | undefined;
  private asked = Number.NEGATIVE_INFINITY;
  /** When the first sign of this session was sent. */
  private since: number | undefined;
  /** Whether it takes part. */
  private isSigning = false;
  private begun = "";
  /** Cameras that are being taken. */
  private readonly taking = new Set<string>();
  /** Cameras that are being given back, and those that were, with the revisions of their leases. */
  private readonly giving = new Map<string, number>();
  private readonly given = new Map<string, number>();
  /** Cameras whose giving back is to be tried again. */
  private readonly unreturned = new Set<string>();
  /** Since when nobody has had a camera. */
  private readonly free = new Map<string, number>();
  /** How many cameras it may take, and when that was counted. */
  private credit = 1;
  private credited = Number.NEGATIVE_INFINITY;
  private gave = Number.NEGATIVE_INFINITY;
  private settleUntil = 0;
  /** What was known when it last looked, and when it looks again though nothing has changed. */
  private looked = "";
  private lookAt = 0;
  private last: Promise<void> = Promise.resolve();
  /** Since when cameras have been beginning and ending; undefined: all have. */
  private changing: number | undefined;
  private isStopped = false;

  constructor(private readonly options: MemberOptions) {
    this.clock = options.clock ?? (() => performance.now());
    this.session = this.newSession();
  }

  /** Cameras that it has. */
  get cameras(): ReadonlyMap<string, HeldCamera> {
    return this.held;
  }

  /** Whether the last sign is young enough. */
  get isCurrent(): boolean {
    return this.signed !== undefined && this.clock() - this.signed <= 1000 * this.options.lease * KEEP;
  }

  /** The revision of a camera's lease, while it is this worker's: until it was given back. */
  leaseOf(camera: string): number | undefined {
    return this.isCurrent ? (this.held.get(camera)?.revision ?? this.giving.get(camera)) : undefined;
  }

  /** Gives a camera back that cannot be watched here: others may be able to. */
  refuse(id: string): void {
    const camera = this.held.get(id);
    if (!camera) return;
    this.give(camera, "it cannot be watched here");
    this.apply("it cannot be watched here");
    // The others hear of it before the camera is free.
    this.tell();
  }

  /** Tells the others at once what it can do, and looks what that changes. */
  tell(): void {
    this.lookAt = 0;
    this.asked = Number.NEGATIVE_INFINITY;
    if (this.isSigning) void this.sign();
  }

  /** Seconds for which it has been in touch with the server; 0 while it is not. */
  get inTouch(): number {
    return this.isCurrent && this.since !== undefined ? (this.clock() - this.since) / 1000 : 0;
  }

  /** Takes part until the signal ends it; then gives all back. */
  async run(signal: AbortSignal): Promise<void> {
    const { view, lease } = this.options;
    await Promise.race([view.ready, aborted(signal)]);
    await this.buryEarlier();
    this.isSigning = true;
    const signs = setInterval(() => void this.sign(), (1000 * lease) / SIGNS);
    await this.sign();
    this.settleUntil = this.clock() + 1000 * lease * SETTLE;
    const every = Math.min(LOOK, (1000 * lease) / LOOKS);
    try {
      while (!signal.aborted) {
        this.look();
        await sleep(every, undefined, { signal }).catch(() => {});
      }
    } finally {
      await this.stop().finally(() => clearInterval(signs));
      if (this.isCurrent) await this.options.stores.workers.delete(this.session).catch(() => {});
    }
  }

  /** Sessions of this worker's earlier processes are over: nobody needs to wait for a lease. */
  private async buryEarlier(): Promise<void> {
    const { view, stores, name } = this.options;
    const earlier = view.alive.filter(([, { worker }]) => worker === name).map(([session]) => session);
    await Promise.all(earlier.map((session) => stores.workers.delete(session).catch(() => {})));
  }

  private newSession(): string {
    this.begun = new Date().toISOString();
    return `${this.options.name}-${randomBytes(4).toString("hex")}`;
  }

  private async sign(): Promise<void> {
    const { stores, name, lease, facts } = this.options;
    const asked = this.clock();
    // One that hangs must not keep the next one from being sent.
    if (asked - this.asked < (1000 * lease) / SIGNS / 2) return;
    this.asked = asked;
    const { session } = this;
    const sign: Sign = { worker: name, lease, since: this.begun, ...facts() };
    if (this.isStopped || this.isStuck) sign.isOpen = false;
    try {
      await stores.workers.put(session, JSON.stringify(sign), { timeout: Math.max(200, 500 * lease) });
      // The others count from about now, and not from when the answer arrives.
      if (session !== this.session) return;
      if (this.signed === undefined) this.since = asked;
      this.signed = Math.max(this.signed ?? asked, asked);
    } catch {
      // It counts as silent from its last sign on.
    }
  }

  /** Compares what is with what should be, if something has changed. */
  private look(): void {
    if (this.signed !== undefined && !this.isCurrent) this.lose();
    if (!this.isCurrent || this.isStopped) return;
    const { view } = this.options;
    const { alive } = view;
    const sizes = [this.held, this.taking, this.giving].map(({ size }) => size);
    const known = [view.changes, alive.length, this.session, ...sizes].join();
    if (known === this.looked && this.clock() < this.lookAt) return;
    this.looked = known;
    this.lookAt = this.giving.size > 0 ? 0 : Number.POSITIVE_INFINITY;
    let isChanged = this.dropLost();
    isChanged = this.follow() || isChanged;
    if (isChanged) this.apply();
    if (this.clock() < this.settleUntil) {
      this.lookAgain(this.settleUntil);
      return;
    }
    const own = this.ownCameras();
    const workers = alive.map(([session, sign]): SpreadWorker => {
      const { capacity, most, isOpen } = sign;
      const isOwn = session === this.session;
      return {
        ...{ session, isOpen },
        carried: isOwn ? own : (view.carried.get(session) ?? new Carried()),
        refuses: Object.keys((isOwn ? this.options.facts() : sign).problems ?? {}),
        ...(capacity !== undefined && { capacity }),
        ...(most !== undefined && { most }),
      };
    });
    this.endLeft(alive.map(([session]) => session));
    const free = this.freeCameras(new Set(alive.map(([session]) => session)));
    if (!this.takeAssigned(free, workers)) this.giveSurplus(workers);
  }

  /** Makes it look at a time at the latest. */
  private lookAgain(time: number): void {
    this.lookAt = Math.min(this.lookAt, time);
  }

  /** It was cut off for too long: others may have its cameras. */
  private lose(): void {
    const count = this.held.size;
    if (count > 0) {
      const line = `cut off from the server for ${this.options.lease} s: stops ${count} camera${count === 1 ? "" : "s"}, for other workers may have them`;
      this.options.onNotice("warn", line);
    }
    this.held = new Map();
    this.giving.clear();
    this.unreturned.clear();
    this.signed = undefined;
    // A sign that arrives late would keep its cameras from all workers.
    void this.options.stores.workers.delete(this.session).catch(() => {});
    this.session = this.newSession();
    this.apply("its worker was cut off from the server");
    void this.sign();
  }

  /** Lets go of cameras whose claims name others. @returns whether there are any */
  private dropLost(): boolean {
    const { view, onNotice } = this.options;
    let isChanged = false;
    for (const { id, revision } of this.held.values()) {
      const claim = view.claims.get(id);
      if (!claim || claim.revision <= revision || claim.value?.session === this.session) continue;
      onNotice("warn", `${id}: ${oneLine(claim.value?.worker ?? "nobody")} has this camera now`);
      this.held.delete(id);
      isChanged = true;
    }
    for (const [id, revision] of this.giving) {
      if ((view.claims.get(id)?.revision ?? 0) <= revision) continue;
      // It was given back, although the answer may have been lost.
      this.giving.delete(id);
      this.unreturned.delete(id);
    }
    // An answer that was lost: the claim is this worker's all the same.
    const mine = [...(view.carried.get(this.session) ?? [])].map(({ id }) => id);
    for (const id of new Set([...mine, ...this.giving.keys()])) {
      const { value, revision = 0 } = view.claims.get(id) ?? {};
      if (value?.session !== this.session || this.held.has(id) || this.taking.has(id)) continue;
      if (this.unreturned.delete(id)) void this.giveBack(id, revision);
      else if (!this.giving.has(id) && this.given.get(id) !== revision) {
        isChanged = this.hold(id, revision) || isChanged;
      }
    }
    return isChanged;
  }

  private hold(id: string, revision: number): boolean {
    const { value: record, revision: recordRevision } = this.options.view.cameras.get(id) ?? { revision: 0 };
    if (!record?.enabled) {
      void this.giveBack(id, revision);
      return false;
    }
    const camera = { id, revision, record, recordRevision };
    this.held.set(id, camera);
    this.options.onNotice("info", `${id}: takes the camera`);
    this.options.taken(camera).catch(() => {});
    return true;
  }

  /** Takes over changes of settings. @returns whether there are any */
  private follow(): boolean {
    const { view } = this.options;
    let isChanged = false;
    for (const camera of this.held.values()) {
      const found = view.cameras.get(camera.id);
      if (found?.revision === camera.recordRevision) continue;
      isChanged = true;
      if (found?.value?.enabled) {
        this.held.set(camera.id, { ...camera, record: found.value, recordRevision: found.revision });
      } else this.give(camera, "it is not to be watched any more");
    }
    return isChanged;
  }

  /** Cameras that it has, or is taking. */
  private ownCameras(): Carried {
    const own = new Carried();
    for (const id of [...this.held.keys(), ...this.taking]) {
      const camera = this.options.view.cameras.get(id)?.value;
      if (camera?.enabled) own.add({ id, fps: camera.fps });
    }
    return own;
  }

  /** Cameras that are to be watched, and whose claims name nobody who is alive. */
  private freeCameras(alive: ReadonlySet<string | undefined>): SpreadCamera[] {
    const { carried } = this.options.view;
    const free: SpreadCamera[] = [];
    for (const [session, cameras] of carried) {
      if (alive.has(session)) continue;
      for (const camera of cameras) if (!this.held.has(camera.id) && !this.taking.has(camera.id)) free.push(camera);
    }
    return free;
  }

  /**
   * Ends the events of cameras that were removed when their worker had crashed. For each camera one
   * worker does it.
   */
  private endLeft(alive: readonly string[]): void {
    const { left, claims } = this.options.view;
    for (const id of left) {
      if (alive.includes(claims.get(id)?.value?.session ?? "") || this.taking.has(id)) continue;
      const order = (session: string) => drawn(`${session} ${id}`);
      const [chosen] = [...alive].sort((a, b) => order(a) - order(b));
      if (chosen === this.session) void this.endEvents(id);
    }
  }

  private async endEvents(id: string): Promise<void> {
    const { stores, view, name } = this.options;
    this.taking.add(id);
    try {
      const claim: Claim = { session: this.session, worker: name, since: new Date().toISOString() };
      const previousSeq = view.claims.get(id)?.revision ?? 0;
      const revision = await stores.claims.put(id, JSON.stringify(claim), { previousSeq });
      await this.options.taken({ id, revision }).catch(() => {});
      await this.giveBack(id, revision);
    } catch {
      // Another one was faster, or the server is away.
    } finally {
      this.taking.delete(id);
    }
  }

  /** Whether cameras neither begin nor end, as with a full disk. */
  private get isStuck(): boolean {
    return this.changing !== undefined && this.clock() - this.changing > 1000 * OVERDUE * this.options.lease;
  }

  /** @returns whether there are cameras that somebody is to take */
  private takeAssigned(free: readonly SpreadCamera[], workers: readonly SpreadWorker[]): boolean {
    const now = this.clock();
    const ids = new Set(free.map(({ id }) => id));
    for (const id of this.free.keys()) if (!ids.has(id)) this.free.delete(id);
    if (free.length === 0) return false;
    for (const id of ids) if (!this.free.has(id)) this.free.set(id, now);
    this.lookAgain(now + (1000 * this.options.lease) / LOOKS);
    if (this.isStuck) return true;
    const given = assign(free, workers);
    const mine: string[] = [];
    for (const [id, session] of given) if (session === this.session && !this.giving.has(id)) mine.push(id);
    const allowed = this.allowed(workers.length);
    const late = mine.length > 0 || this.taking.size > 0 ? undefined : this.overdue(free, workers);
    if (late !== undefined) mine.push(late);
    const some = mine.slice(0, allowed);
    this.credit -= some.length;
    if (some.length > 0) void this.takeAll(some);
    return given.size > 0;
  }

  /** How many cameras it may take now, so that claims do not flood a large cluster. */
  private allowed(workers: number): number {
    const now = this.clock();
    const rate = HEARD / workers ** 2;
    this.credit = Math.min(Math.max(1, rate), this.credit + (rate * (now - this.credited)) / 1000);
    this.credited = now;
    return Math.floor(this.credit);
  }

  /** An overdue camera, as whoever should have taken it may hang. Each worker tries another one. */
  private overdue(free: readonly SpreadCamera[], workers: readonly SpreadWorker[]): string | undefined {
    const since = this.clock() - 1000 * OVERDUE * this.options.lease;
    const late = free.filter(({ id }) => this.free.get(id)! < since && !this.giving.has(id));
    const alone = workers.filter(({ session }) => session === this.session);
    const order = (id: string) => drawn(`${this.session} ${id}`);
    return [...assign(late, alone).keys()].sort((a, b) => order(a) - order(b))[0];
  }

  private async takeAll(ids: readonly string[]): Promise<void> {
    const taken = await Promise.all(ids.map((id) => this.take(id)));
    if (taken.some(Boolean)) this.apply();
  }

  private async take(id: string): Promise<boolean> {
    const { stores, name, view } = this.options;
    const { session } = this;
    this.taking.add(id);
    const claim: Claim = { session, worker: name, since: new Date().toISOString() };
    try {
      const previousSeq = view.claims.get(id)?.revision ?? 0;
      const revision = await stores.claims.put(id, JSON.stringify(claim), { previousSeq });
      return session === this.session && !this.isStopped && this.hold(id, revision);
    } catch {
      // Another one was faster, or the server is away.
      return false;
    } finally {
      this.taking.delete(id);
    }
  }

  private giveSurplus(workers: readonly SpreadWorker[]): void {
    const now = this.clock();
    if (this.giving.size > 0 || this.taking.size > 0) return;
    const next = this.gave + 1000 * PAUSE * this.options.lease;
    if (now < next) {
      this.lookAgain(next);
      return;
    }
    const id = surplus(this.session, workers);
    const camera = id === undefined ? undefined : this.held.get(id);
    if (!camera) return;
    this.gave = now;
    this.give(camera, "another worker has more room");
    this.apply("it goes to another worker");
  }

  /** Gives a camera back once it has ended. */
  private give({ id, revision }: HeldCamera, why: string): void {
    this.options.onNotice("info", `${id}: gives the camera back: ${why}`);
    this.held.delete(id);
    this.giving.set(id, revision);
    const { session } = this;
    // Behind the change that ends it.
    queueMicrotask(() => {
      void this.ended().then(async () => {
        await this.options.settled();
        if (session === this.session) await this.giveBack(id, revision);
      });
    });
  }

  private async giveBack(id: string, revision: number): Promise<void> {
    const { stores, name } = this.options;
    this.giving.set(id, revision);
    const claim: Claim = { worker: name, since: new Date().toISOString() };
    try {
      await stores.claims.put(id, JSON.stringify(claim), { previousSeq: revision });
    } catch (error) {
      if (!/wrong last sequence/i.test(String(error))) {
        this.unreturned.add(id);
        return;
      }
    }
    this.given.set(id, revision);
    this.giving.delete(id);
  }

  /** Goes on with the cameras that it has. One change follows the other. */
  private apply(why = "its settings have changed"): void {
    this.last = this.last
      .then(() => {
        this.changing = this.clock();
        return this.options.watch(new Map(this.held), why);
      })
      .catch((error: unknown) => this.options.onNotice("error", natsReason(error)))
      .finally(() => {
        this.changing = undefined;
      });
  }

  /** Resolves once cameras have ended, or after a lease: others need not wait for a full disk. */
  private async ended(): Promise<void> {
    const timer = new AbortController();
    const over = sleep(1000 * this.options.lease, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([this.last, over]);
    timer.abort();
  }

  private async stop(): Promise<void> {
    this.isStopped = true;
    for (const { id, revision } of this.held.values()) this.giving.set(id, revision);
    this.held = new Map();
    this.apply("its worker was stopped");
    await this.ended();
    if (!this.isCurrent) return;
    await this.options.settled();
    await Promise.all([...this.giving].map(([id, revision]) => this.giveBack(id, revision)));
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
