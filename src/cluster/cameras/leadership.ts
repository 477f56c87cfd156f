// One of the workers leads: it says who watches what, so that the others need not hear of each
// other. It leads as long as its entry is younger than a lease. Whoever misses it stands for it;
// the store takes one of them.
import { oneLine } from "../../node/files/messages.js";
import { parsed } from "../archive.js";
import type { Cluster } from "../connection.js";
import { Following } from "./following.js";
import { answerTime, KEEP, MESSAGES } from "./lease.js";
import { type LeaderRecord, leaderSchema } from "./messages.js";
import { Planner } from "./planner.js";
import { type CameraStores, LEADER } from "./stores.js";

/** What {@link Leadership} is made with. */
export interface LeadershipOptions {
  cluster: Pick<Cluster, "nats">;
  stores: Pick<CameraStores, "cameras" | "claims" | "workers" | "plans">;
  /** The worker's name. */
  name: string;
  /** Seconds. */
  lease: number;
  /** The worker's session; undefined while it is cut off. */
  session(): string | undefined;
  onNotice(level: "info" | "warn", line: string): void;
  /** Whether the others have had the time to give signs of life. */
  isSettled(): boolean;
  /** Milliseconds; never steps back. */
  clock(): number;
}

/** The leader's entry as it was heard. */
interface Heard {
  revision: number;
  /** When, on this machine's steady clock. */
  time: number;
  /** Absent: the leader has ended. */
  record: LeaderRecord | undefined;
}

/** A term as leader. */
interface Term {
  session: string;
  planner: Planner;
  /** Of the leader's entry. */
  revision: number;
  /** When the last message that arrived was sent, and when the last one was sent. */
  renewed: number;
  asked: number;
}

/** A worker's part in who leads. */
export class Leadership {
  private readonly following: Following;
  private heard: Heard | undefined;
  private term: Term | undefined;
  /** A lease of another worker that was warned of. */
  private otherLease: number | undefined;
  private isStanding = false;
  private isClosed = false;

  constructor(private readonly options: LeadershipOptions) {
    this.following = new Following(options.cluster);
    this.following.entry(options.stores.plans, LEADER, (entry) => {
      // What is read again, as after a reconnection, is no news.
      if (entry.revision !== this.heard?.revision) this.hear(entry.revision, parsed(leaderSchema, entry));
    });
  }

  /** Whether this worker leads. */
  get isLeading(): boolean {
    return this.term?.session === this.options.session() && this.isKnown;
  }

  /** What the leader knows; undefined if this worker does not lead. */
  get figures(): Planner["figures"] | undefined {
    return this.isLeading ? this.term?.planner.figures : undefined;
  }

  /** Whether the others have heard from it as leader, and wait. */
  private get isKnown(): boolean {
    const { clock, lease } = this.options;
    return this.term !== undefined && clock() - this.term.renewed <= 1000 * lease * KEEP;
  }

  /** Leads if nobody does, and plans if it leads. */
  look(): void {
    const { session, clock, lease } = this.options;
    if (this.isClosed) return;
    if (this.term && !this.isLeading) this.drop();
    if (this.term) {
      if (clock() - this.term.asked >= (1000 * lease) / MESSAGES) void this.renew(this.term);
      this.term.planner.look();
    } else if (session() !== undefined && !this.hasLeader && !this.isStanding) {
      this.isStanding = true;
      void this.stand().finally(() => {
        this.isStanding = false;
      });
    }
  }

  /** Lets another one lead. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.following.close();
    const { term } = this;
    const isKnown = this.isKnown;
    this.drop();
    if (!term || !isKnown) return;
    await this.options.stores.plans.delete(LEADER, { previousSeq: term.revision }).catch(() => {});
  }

  /** Whether another worker leads. An earlier session of this one does not. */
  private get hasLeader(): boolean {
    const { clock, name } = this.options;
    const { record, time = 0 } = this.heard ?? {};
    return record !== undefined && record.worker !== name && clock() - time <= 1000 * record.lease;
  }

  private hear(revision: number, record: LeaderRecord | undefined): void {
    this.heard = { revision, record, time: this.options.clock() };
    this.compareLease(record);
    if (!this.term) return;
    // The answer to a message of its own may be lost.
    if (record?.session === this.term.session) this.term.revision = Math.max(this.term.revision, revision);
    else if (revision > this.term.revision) this.drop();
  }

  /** Workers with other leases wait for each other too long, or not long enough. */
  private compareLease(record: LeaderRecord | undefined): void {
    const { lease, onNotice } = this.options;
    if (record === undefined || record.lease === lease || record.lease === this.otherLease) return;
    this.otherLease = record.lease;
    const line = `${oneLine(record.worker)} has a lease of ${record.lease} s, this worker one of ${lease} s`;
    onNotice("warn", `${line}: give all workers the same --lease`);
  }

  private text(session: string): string {
    const { name, lease } = this.options;
    return JSON.stringify({ session, worker: name, lease } satisfies LeaderRecord);
  }

  private async stand(): Promise<void> {
    const { stores, clock, lease, cluster, session, isSettled, onNotice } = this.options;
    const own = session();
    if (own === undefined) return;
    try {
      const entry = await stores.plans.get(LEADER);
      if (entry && entry.revision !== this.heard?.revision) this.hear(entry.revision, parsed(leaderSchema, entry));
      const asked = clock();
      if (this.isClosed || this.hasLeader) return;
      const revision = await stores.plans.put(LEADER, this.text(own), {
        ...{ previousSeq: entry?.revision ?? 0, timeout: answerTime(lease) },
      });
      if (this.isClosed || own !== session()) return;
      const isLeading = () => this.isLeading;
      const term = { term: revision, isSettled: isSettled() };
      const planner = new Planner({ cluster, stores, clock, lease, isLeading, onNotice, ...term });
      this.term = { session: own, planner, revision, renewed: asked, asked };
    } catch {
      // Another one was faster, or the server is away.
    }
  }

  private async renew(term: Term): Promise<void> {
    const { stores, clock, lease } = this.options;
    const asked = clock();
    term.asked = asked;
    try {
      const previousSeq = term.revision;
      const timeout = answerTime(lease);
      const revision = await stores.plans.put(LEADER, this.text(term.session), { previousSeq, timeout });
      term.revision = Math.max(term.revision, revision);
      term.renewed = Math.max(term.renewed, asked);
    } catch {
      // It leads until its last message is a lease old.
    }
  }

  private drop(): void {
    this.term?.planner.close();
    this.term = undefined;
  }
}
