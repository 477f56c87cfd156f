// A worker's part in the cluster: it gives signs of life, takes the cameras of its plan, and gives
// others back. A camera is this worker's as long as its claim names the session and the session's
// last sign is younger than a lease.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { parsed } from "../archive.js";
import { type Cluster, natsReason } from "../connection.js";
import { Following } from "./following.js";
import { Leadership } from "./leadership.js";
import { answerTime, KEEP, MESSAGES } from "./lease.js";
import { type CameraRecord, type Claim, cameraSchema, type Plan, planSchema, type Sign } from "./messages.js";
import type { CameraStores } from "./stores.js";

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
  cluster: Pick<Cluster, "nats" | "shown">;
  stores: Pick<CameraStores, "cameras" | "claims" | "workers" | "plans">;
  /** The worker's name. */
  name: string;
  /** Seconds. */
  lease: number;
  /** What it can do, and cannot. */
  facts(): Pick<Sign, "capacity" | "most" | "isOpen" | "problems" | "silent">;
  /**
   * Goes on with these cameras alone; resolves once the others have ended. If it fails, it is
   * called again, and no camera is given back until then.
   * @param why these end, in a few words
   */
  watch(held: ReadonlyMap<string, HeldCamera>, why: string): Promise<void>;
  /** A camera was taken: older owners are to be refused from here on. */
  taken(camera: Pick<HeldCamera, "id" | "revision">): Promise<void>;
  /** Resolves once all that was written of cameras has gone out, or after some seconds. */
  settled(ids: readonly string[]): Promise<void>;
  /** Takes in a line of the log. */
  onNotice(level: "info" | "warn" | "error", line: string): void;
  /** Milliseconds; never steps back. */
  clock?(): number;
}

/** Looks within a lease. */
const LOOKS = 20;
/** Milliseconds between looks, at most. */
const LOOK = 500;
/** The share of a lease in which cameras must have begun and ended: else it takes no more. */
const OVERDUE = 1 / 2;

type Planned = Plan["cameras"][number];
/** A camera's settings as the store has them. */
type Settings = Pick<HeldCamera, "record" | "recordRevision">;

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
  /** Claims of others that its own came too late for, by cameras: the next plan knows them. */
  private readonly refused = new Map<string, number>();
  /** Cameras that have not ended: the change that should end them has failed. */
  private readonly unended = new Set<string>();
  /** The reason that a failed change was made with; undefined: the last change has not failed. */
  private failed: string | undefined;
  /** The line of the log about it, so that it is said once. */
  private said = "";
  /** Cameras whose settings are being read again. */
  private readonly reading = new Set<string>();
  /** What it is to watch; undefined: nobody has said yet. */
  private plan: Plan | undefined;
  private following: Following | undefined;
  private readonly leadership: Leadership;
  /** Whether the last change was made. */
  private last = Promise.resolve(true);
  /** Since when cameras have been beginning and ending; undefined: all have. */
  private changing: number | undefined;
  private isStopped = false;

  constructor(private readonly options: MemberOptions) {
    this.clock = options.clock ?? (() => performance.now());
    this.session = this.newSession();
    const { cluster, stores, name, lease, onNotice } = options;
    const session = () => (this.isCurrent && !this.isStopped ? this.session : undefined);
    const isSettled = () => this.inTouch > lease;
    this.leadership = new Leadership({
      ...{ cluster, stores, name, lease, session, isSettled, onNotice, clock: this.clock },
    });
  }

  /** A camera with which to measure what it carries. */
  get toMeasure(): string | undefined {
    return this.plan?.measure;
  }

  /** Whether it says who watches what. */
  get isLeading(): boolean {
    return this.leadership.isLeading;
  }

  /** What it knows of the cluster as its leader; undefined if it does not lead. */
  get figures(): Leadership["figures"] {
    return this.leadership.figures;
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
    if (camera) {
      this.give(camera, "it cannot be watched here");
      this.apply("it cannot be watched here");
    }
    // The leader hears of it before the camera is free.
    this.tell();
  }

  /** Tells the leader at once what it can do. */
  tell(): void {
    this.asked = Number.NEGATIVE_INFINITY;
    if (this.isSigning) void this.sign();
  }

  /** Seconds for which it has been in touch with the server; 0 while it is not. */
  get inTouch(): number {
    return this.isCurrent && this.since !== undefined ? (this.clock() - this.since) / 1000 : 0;
  }

  /**
   * Takes part until the signal ends it; then gives all back.
   * @throws InputError if the client does not connect again
   */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, lease, stores } = this.options;
    this.isSigning = true;
    const signs = setInterval(() => void this.sign(), (1000 * lease) / MESSAGES);
    await this.sign();
    this.followPlan();
    const every = Math.min(LOOK, (1000 * lease) / LOOKS);
    try {
      while (!signal.aborted) {
        if (cluster.nats.isClosed()) {
          const why = await cluster.nats.closed();
          throw new InputError(`${cluster.shown}: ${why ? natsReason(why) : "the connection was closed"}`);
        }
        this.look();
        await sleep(every, undefined, { signal }).catch(() => {});
      }
    } finally {
      await this.stop().finally(() => clearInterval(signs));
      if (this.isCurrent) await stores.workers.delete(this.session).catch(() => {});
    }
  }

  /** Takes in what the session is to watch. */
  private followPlan(): void {
    const { cluster, stores } = this.options;
    const { session } = this;
    this.following?.close();
    this.following = new Following(cluster);
    this.following.entry(stores.plans, session, (entry) => {
      const plan = parsed(planSchema, entry);
      // One of an earlier leader may come late.
      if (!plan || session !== this.session || plan.term < (this.plan?.term ?? 0)) return;
      this.plan = plan;
      this.look();
    });
  }

  private newSession(): string {
    this.begun = new Date().toISOString();
    return `${this.options.name}-${randomBytes(4).toString("hex")}`;
  }

  private async sign(): Promise<void> {
    const { stores, name, lease, facts } = this.options;
    const asked = this.clock();
    // One that hangs must not keep the next one from being sent.
    if (asked - this.asked < (1000 * lease) / MESSAGES / 2) return;
    this.asked = asked;
    const { session } = this;
    const sign: Sign = { worker: name, lease, since: this.begun, ...facts() };
    if (this.isStopped || this.isStuck) sign.isOpen = false;
    try {
      await stores.workers.put(session, JSON.stringify(sign), { timeout: answerTime(lease) });
      // The others count from about now, and not from when the answer arrives.
      if (session !== this.session) return;
      if (this.signed === undefined) this.since = asked;
      this.signed = Math.max(this.signed ?? asked, asked);
    } catch {
      // It counts as silent from its last sign on.
    }
  }

  /** Compares what is with what should be. */
  private look(): void {
    if (this.signed !== undefined && !this.isCurrent) this.lose();
    this.leadership.look();
    for (const id of this.unreturned) {
      const revision = this.giving.get(id);
      this.unreturned.delete(id);
      if (revision !== undefined) void this.giveBack(id, revision);
    }
    if (this.failed !== undefined) this.apply(this.failed);
    for (const id of this.unended) {
      this.unended.delete(id);
      void this.returnEnded(id);
    }
    const { plan } = this;
    if (!this.isCurrent || this.isStopped || !plan) return;
    const planned = new Map(plan.cameras.map((camera) => [camera.id, camera]));
    let isChanged = false;
    for (const camera of this.held.values()) {
      const item = planned.get(camera.id);
      // A plan that is older than the camera's claim says nothing of it.
      if (!item && plan.known < camera.revision) continue;
      const isLost = item !== undefined && !item.own && item.claim > camera.revision;
      if (item && !isLost) {
        if (item.record > camera.recordRevision) void this.readAgain(camera.id);
        continue;
      }
      isChanged = true;
      if (isLost) {
        this.options.onNotice("warn", `${camera.id}: another worker has had this camera`);
        this.held.delete(camera.id);
      } else this.give(camera, "the plan has changed");
    }
    if (isChanged) this.apply("its camera is not for this worker any longer");
    const missing = plan.cameras.filter((item) => this.isMissing(item) && (item.own || !this.isStuck));
    if (missing.length > 0) void this.takeAll(missing);
    for (const item of plan.end) if (this.isMissing(item)) void this.endEvents(item);
  }

  private isMissing({ id, claim }: Plan["end"][number]): boolean {
    if (this.held.has(id) || this.taking.has(id) || this.giving.has(id)) return false;
    return this.refused.get(id) !== claim && this.given.get(id) !== claim;
  }

  /** It was cut off for too long: others may have its cameras. */
  private lose(): void {
    const count = this.held.size;
    if (count > 0) {
      const line = `cut off from the server for most of a lease (${this.options.lease} s): stops ${counted(count, "camera")}, for other workers may have them`;
      this.options.onNotice("warn", line);
    }
    this.held = new Map();
    this.giving.clear();
    this.unreturned.clear();
    this.unended.clear();
    this.refused.clear();
    this.plan = undefined;
    this.signed = undefined;
    // A sign that arrives late would keep its cameras from all workers.
    void this.options.stores.workers.delete(this.session).catch(() => {});
    this.session = this.newSession();
    this.apply("its worker was cut off from the server");
    this.followPlan();
    void this.sign();
  }

  private hold(id: string, revision: number, settings: Settings): void {
    const camera = { id, revision, ...settings };
    this.held.set(id, camera);
    this.options.onNotice("info", `${id}: takes the camera`);
    this.options.taken(camera).catch(() => {});
  }

  /** A camera's settings; undefined: it is not to be watched. @throws if the server fails */
  private async settingsOf(id: string): Promise<Settings | undefined> {
    const entry = await this.options.stores.cameras.get(id);
    const record = entry && parsed(cameraSchema, entry);
    return record?.enabled ? { record, recordRevision: entry!.revision } : undefined;
  }

  /** Takes over changed settings. */
  private async readAgain(id: string): Promise<void> {
    if (this.reading.has(id)) return;
    this.reading.add(id);
    try {
      const settings = await this.settingsOf(id);
      const camera = this.held.get(id);
      // One that is not to be watched any more leaves the plan.
      if (!camera || !settings || camera.recordRevision === settings.recordRevision) return;
      this.held.set(id, { ...camera, ...settings });
      this.apply();
    } catch {
      // It looks again.
    } finally {
      this.reading.delete(id);
    }
  }

  /** Takes cameras of the plan, and watches them. */
  private async takeAll(items: readonly Planned[]): Promise<void> {
    const taken = await Promise.all(items.map((item) => this.take(item)));
    if (taken.some(Boolean)) this.apply();
  }

  private async take({ id, claim, own }: Planned): Promise<boolean> {
    const { session } = this;
    const isOver = () => session !== this.session || this.isStopped;
    this.taking.add(id);
    try {
      const settings = await this.settingsOf(id);
      if (isOver()) return false;
      if (!settings) {
        if (own) void this.giveBack(id, claim);
        return false;
      }
      // If it is its own already, the answer to the claim was lost.
      const revision = own ? claim : await this.claim(id, claim);
      if (isOver()) return false;
      this.hold(id, revision, settings);
      return true;
    } catch {
      // Another one was faster, or the server is away.
      return false;
    } finally {
      this.taking.delete(id);
    }
  }

  /** Ends the events of a camera that was removed when its worker had crashed. */
  private async endEvents({ id, claim }: Plan["end"][number]): Promise<void> {
    this.taking.add(id);
    try {
      const revision = await this.claim(id, claim);
      await this.options.taken({ id, revision }).catch(() => {});
      await this.options.settled([id]);
      await this.giveBack(id, revision);
    } catch {
      // Another one was faster, or the server is away.
    } finally {
      this.taking.delete(id);
    }
  }

  /** Claims a camera, if its claim is the one that the leader knew. @throws if it fails */
  private async claim(id: string, previousSeq: number): Promise<number> {
    const { stores, name } = this.options;
    const claim: Claim = { session: this.session, worker: name, since: new Date().toISOString() };
    try {
      return await stores.claims.put(id, JSON.stringify(claim), { previousSeq });
    } catch (error) {
      if (isOvertaken(error)) this.refused.set(id, previousSeq);
      throw error;
    }
  }

  /** Whether cameras neither begin nor end, as with a full disk. */
  private get isStuck(): boolean {
    return this.changing !== undefined && this.clock() - this.changing > 1000 * OVERDUE * this.options.lease;
  }

  /** Gives a camera back once it has ended. */
  private give({ id, revision }: HeldCamera, why: string): void {
    this.options.onNotice("info", `${id}: gives the camera back: ${why}`);
    this.held.delete(id);
    this.giving.set(id, revision);
    // Behind the change that ends it.
    queueMicrotask(() => void this.returnEnded(id));
  }

  private async returnEnded(id: string): Promise<void> {
    const { session } = this;
    const revision = this.giving.get(id);
    if (revision === undefined) return;
    const isEnded = await this.ended();
    if (session !== this.session) return;
    if (!isEnded) {
      this.unended.add(id);
      return;
    }
    await this.options.settled([id]);
    if (session === this.session) await this.giveBack(id, revision);
  }

  private async giveBack(id: string, revision: number): Promise<void> {
    const { stores, name } = this.options;
    this.giving.set(id, revision);
    const claim: Claim = { worker: name, since: new Date().toISOString() };
    try {
      await stores.claims.put(id, JSON.stringify(claim), { previousSeq: revision });
    } catch (error) {
      if (!isOvertaken(error)) {
        this.unreturned.add(id);
        return;
      }
    }
    this.given.set(id, revision);
    this.giving.delete(id);
  }

  /** Goes on with the cameras that it has. One change follows the other. */
  private apply(why = "its settings have changed"): void {
    this.failed = undefined;
    this.last = this.last.then(async () => {
      // A failed change counts until one is made.
      this.changing ??= this.clock();
      try {
        await this.options.watch(new Map(this.held), why);
        this.changing = undefined;
        this.failed = undefined;
        this.said = "";
        return true;
      } catch (error) {
        const line = natsReason(error);
        if (line !== this.said) this.options.onNotice("error", line);
        this.said = line;
        this.failed = why;
        return false;
      }
    });
  }

  /**
   * Resolves once cameras have ended, or after a lease: others need not wait for a full disk.
   * @returns false if the change has failed: they are still watched
   */
  private async ended(): Promise<boolean> {
    const timer = new AbortController();
    const over = sleep(1000 * this.options.lease, true, { signal: timer.signal }).catch(() => true);
    const isEnded = await Promise.race([this.last, over]);
    timer.abort();
    return isEnded;
  }

  private async stop(): Promise<void> {
    this.isStopped = true;
    // Nobody is to wait for this worker: not for what it would take, and not for what it would say.
    this.tell();
    await this.leadership.close();
    this.following?.close();
    for (const { id, revision } of this.held.values()) this.giving.set(id, revision);
    this.held = new Map();
    this.apply("its worker was stopped");
    await this.ended();
    if (!this.isCurrent) return;
    await this.options.settled([...this.giving.keys()]);
    await Promise.all([...this.giving].map(([id, revision]) => this.giveBack(id, revision)));
  }
}

const isOvertaken = (error: unknown): boolean => /wrong last sequence/i.test(String(error));
