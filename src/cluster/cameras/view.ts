// All that is known of the cluster: cameras, who has them, and who is alive. It follows the stores,
// so that looking costs nothing. Only the leader needs it, and pages while somebody looks.
import type { KvEntry } from "@nats-io/kv";
import type { z } from "zod";
import { parsed } from "../archive.js";
import type { Cluster } from "../connection.js";
import { Following } from "./following.js";
import {
  type CameraRecord,
  type Claim,
  cameraId,
  cameraSchema,
  claimSchema,
  type Sign,
  signSchema,
  workerName,
} from "./messages.js";
import { Carried } from "./spread.js";
import type { CameraStores } from "./stores.js";

/** A value, and its entry's revision. */
export interface Revised<T> {
  revision: number;
  /** Absent if it was deleted, or is not what it should be. */
  value?: T;
}

/** A worker that has given a sign of life. */
export interface SeenWorker {
  sign: Sign;
  /** The sign as it came. */
  text: string;
  /** When its last sign came, in milliseconds of this machine's steady clock. */
  seen: number;
  /** When the server took it, in milliseconds since 1970. */
  taken: number;
}

/** What a {@link ClusterView} is made with. */
export interface ViewOptions {
  /** Milliseconds; never steps back. */
  clock?(): number;
  /** The server's clock, in milliseconds since 1970. Without it, the last sign is taken for new. */
  now?(): Promise<number>;
}

/** A copy of the stores that follows them. */
export class ClusterView {
  readonly cameras = new Map<string, Revised<CameraRecord>>();
  readonly claims = new Map<string, Revised<Claim>>();
  readonly workers = new Map<string, SeenWorker>();
  /** Cameras that are not to be watched any more, and whose claims still name a session. */
  readonly left = new Set<string>();
  /** The revision of the last claim. */
  lastClaim = 0;
  /** Sessions of workers that have a later one. */
  readonly superseded = new Set<string>();
  /** Counts changes of all this; that a worker fell silent is none. */
  changes = 0;
  /**
   * Cameras that are to be watched, by the sessions that their claims name; undefined: by none.
   * Kept beside the rest, as looking through all cameras takes long if there are many.
   */
  readonly carried = new Map<string | undefined, Carried>();
  private readonly placed = new Map<string, string | undefined>();
  /** Resolves once all was read. */
  readonly ready: Promise<void>;
  private readonly clock: () => number;
  private readonly following: Following;

  constructor(
    cluster: Pick<Cluster, "nats">,
    stores: Pick<CameraStores, "cameras" | "claims" | "workers">,
    private readonly options: ViewOptions = {},
  ) {
    this.clock = options.clock ?? (() => performance.now());
    this.following = new Following(cluster);
    const keep = <Schema extends z.ZodType>(into: Map<string, Revised<z.infer<Schema>>>, schema: Schema) => {
      return (entry: KvEntry) => {
        if (!cameraId.safeParse(entry.key).success) return;
        const value = parsed(schema, entry);
        into.set(entry.key, { revision: entry.revision, ...(value !== undefined && { value }) });
        this.changes++;
        this.place(entry.key);
      };
    };
    const keepClaim = keep(this.claims, claimSchema);
    this.ready = Promise.all([
      this.following.all(stores.cameras, keep(this.cameras, cameraSchema)),
      this.following.all(stores.claims, (entry) => {
        this.lastClaim = Math.max(this.lastClaim, entry.revision);
        keepClaim(entry);
      }),
      this.following.all(stores.workers, (entry) => this.hear(entry)),
    ]).then(() => this.seeAges());
  }

  /** Whether a worker's session has given a sign within its lease. */
  isAlive(session: string | undefined): boolean {
    const worker = session === undefined ? undefined : this.workers.get(session);
    return worker !== undefined && this.clock() - worker.seen <= 1000 * worker.sign.lease;
  }

  /** Sessions that are alive. */
  get alive(): [session: string, sign: Sign][] {
    const found: [string, Sign][] = [];
    for (const [session, { sign }] of this.workers) if (this.isAlive(session)) found.push([session, sign]);
    return found;
  }

  /** The live session that has a camera; undefined if none has. */
  ownerOf(camera: string): string | undefined {
    const session = this.claims.get(camera)?.value?.session;
    return this.isAlive(session) ? session : undefined;
  }

  close(): void {
    this.following.close();
  }

  /** Puts a camera where it belongs in {@link carried}. */
  private place(id: string): void {
    const before = this.placed.get(id);
    const left = this.carried.get(before);
    left?.delete(id);
    if (left?.size === 0) this.carried.delete(before);
    const camera = this.cameras.get(id)?.value;
    const session = this.claims.get(id)?.value?.session;
    if (!camera?.enabled && session !== undefined) this.left.add(id);
    else this.left.delete(id);
    if (!camera?.enabled) return;
    const carried = this.carried.get(session) ?? new Carried();
    carried.add({ id, fps: camera.fps });
    this.carried.set(session, carried);
    this.placed.set(id, session);
  }

  private hear(entry: KvEntry): void {
    const { key } = entry;
    if (this.superseded.has(key)) return;
    const [text, taken] = [entry.string(), entry.created.getTime()];
    const known = this.workers.get(key);
    // Most signs repeat the last one. With many workers there are many.
    if (known?.text === text && this.isAlive(key)) {
      // One that is read again, as after a reconnection, is no news.
      if (known.taken !== taken) known.seen = this.clock();
      known.taken = taken;
      return;
    }
    const sign = workerName.safeParse(key).success ? parsed(signSchema, entry) : undefined;
    if (sign && known?.taken === taken) return;
    this.changes++;
    if (sign && !known) this.supersede(sign.worker);
    if (!sign) this.workers.delete(key);
    else this.workers.set(key, { sign, text, seen: this.clock(), taken });
  }

  /** A worker that has begun again has nothing of before: nobody needs to wait for a lease. */
  private supersede(name: string): void {
    for (const [session, { sign }] of this.workers) {
      if (sign.worker !== name) continue;
      this.workers.delete(session);
      this.superseded.add(session);
    }
  }

  /** Signs that were read at the start may be old. */
  private async seeAges(): Promise<void> {
    const now = (await this.options.now?.()) ?? 0;
    const latest = Math.max(now, ...[...this.workers.values()].map(({ taken }) => taken));
    for (const worker of this.workers.values()) worker.seen -= latest - worker.taken;
  }
}
