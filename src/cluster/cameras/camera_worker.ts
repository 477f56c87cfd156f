// Watches the cameras that this machine has of the cluster.
import { setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import type { CameraStatus } from "../../server/camera/camera.js";
import type { CameraConfig, WatchConfig } from "../../server/config/config.js";
import type { Environment } from "../../server/config/secrets.js";
import { readModel } from "../../server/models.js";
import type { Sink } from "../../server/records.js";
import type { Supervisor } from "../../server/supervisor.js";
import { parsed } from "../archive.js";
import type { Cluster } from "../connection.js";
import { fetchModel } from "../models.js";
import { EventStream } from "./event_stream.js";
import { Learnt } from "./learnt.js";
import { type HeldCamera, Member } from "./member.js";
import { type CameraRecord, cameraSchema, claimSchema } from "./messages.js";
import { cameraOf } from "./settings.js";
import type { CameraStores } from "./stores.js";

/** What {@link CameraWorker} is made with. */
export interface CameraWorkerOptions {
  cluster: Cluster;
  stores: CameraStores;
  /** The worker's name; it is the data folder's. */
  name: string;
  /** Seconds. */
  lease: number;
  /** Where models are kept on this machine. */
  models: string;
  /** The shared folder's real path. */
  share?: string;
  environment: Environment;
  /** Most cameras that it takes. Without it, what the machine carries is measured. */
  most?: number;
  /**
   * Frames per second that this machine can score of a camera.
   * @param checkpoint path of its model
   */
  measure(checkpoint: string, camera: CameraConfig, signal: AbortSignal): Promise<number>;
  onNotice(level: "info" | "warn" | "error", line: string): void;
  /** A camera that was this worker's last was removed from the cluster. */
  onRemoved?(id: string): void;
}

/** Seconds between looks at what was learnt. */
const SHARE = 60;
/** Seconds until a camera that cannot be used is tried again. */
const TRY_AGAIN = 60;
/** Seconds for events to go out before a camera is given back. */
const PATIENCE = 5;
/** Leases after which events of a camera that has no worker are given up. */
const GIVE_UP = 2;

/** Milliseconds in which cameras that are ready are gathered. */
const GATHER = 50;

/** What of a supervisor it uses. */
type Watching = Pick<Supervisor, "config" | "change" | "run" | "delivered"> & {
  readonly cameras: readonly { config: { id: string }; status: CameraStatus }[];
};

/** Takes cameras of the cluster, and lets a supervisor watch them. */
export class CameraWorker {
  readonly member: Member;
  readonly events: EventStream;
  private readonly learnt: Learnt;
  private capacity: number | undefined;
  /** Why cameras cannot be watched here, for some time; and what was said of them last. */
  private readonly problems = new Map<string, string>();
  private readonly said = new Map<string, string>();
  private readonly trying = new Map<string, NodeJS.Timeout>();
  /** Cameras that are this worker's. */
  private held: ReadonlyMap<string, HeldCamera> = new Map();
  /** What cameras of the cluster became on this machine, by their ids. */
  private readonly known = new Map<
    string,
    { recordRevision: number; camera: CameraConfig; secrets: readonly string[] }
  >();
  /** Cameras that are being prepared, and the revisions of their records. */
  private readonly preparing = new Map<string, number>();
  /** Cameras that were watched, until what was learnt of them last is shared. */
  private readonly unshared = new Set<string>();
  private changing: NodeJS.Timeout | undefined;
  private watching: Watching | undefined;

  /**
   * @param base what does not come from the cluster
   * @param onChange takes in the configuration that holds from now on
   * @throws InputError if a sink has the name of the stream of events
   */
  constructor(
    private readonly options: CameraWorkerOptions,
    private readonly base: WatchConfig,
    private readonly onChange: (config: WatchConfig) => void = () => {},
  ) {
    const { cluster, stores, name, lease, onNotice } = options;
    this.learnt = new Learnt(stores.learnt, base.data, (line) => onNotice("warn", line));
    this.events = new EventStream({
      ...{ cluster, worker: name },
      leaseOf: (camera) => this.member.leaseOf(camera),
      isElsewhere: (camera) => this.isElsewhere(camera),
      onRefused: ({ change, event }) => {
        onNotice("warn", `${event.camera}: ${change} of ${event.id} is only kept here: the camera has another worker`);
      },
    });
    const { name: stream } = this.events;
    if (base.sinks.some((sink) => sink.name === stream)) {
      throw new InputError(`sinks.${stream}: the name ${stream} is taken: a worker sends all events there`);
    }
    this.member = new Member({
      ...{ cluster, stores, name, lease, onNotice },
      facts: () => this.facts,
      watch: (held, why) => this.goOn(held, why),
      taken: async (camera) => {
        await this.events.taken(camera);
      },
      settled: async (ids) => {
        await this.learnt.share(ids.filter((id) => this.unshared.delete(id)));
        await this.watching?.delivered(this.events.name, PATIENCE);
        await Promise.all(ids.map((id) => this.checkRemoved(id)));
      },
    });
  }

  /**
   * Watches until the signal ends it.
   * @param watching a supervisor that stays
   * @param sinks where else events go
   */
  async run(watching: Watching, sinks: ReadonlyMap<string, Sink>, signal: AbortSignal): Promise<void> {
    this.watching = watching;
    const ended = new AbortController();
    const all = new Map<string, Sink>([...sinks, [this.events.name, this.events]]);
    const run = watching.run(all, ended.signal);
    const sharing = setInterval(() => void this.learnt.share(this.member.cameras.keys()), 1000 * SHARE);
    const failed = new AbortController();
    run.catch(() => failed.abort());
    const either = AbortSignal.any([signal, failed.signal]);
    try {
      const measured = this.measure(either);
      await this.member.run(either);
      await measured;
    } finally {
      // Measuring ends, too, if the member has failed.
      failed.abort();
      clearInterval(sharing);
      for (const timer of this.trying.values()) clearTimeout(timer);
      clearTimeout(this.changing);
      ended.abort();
      await run;
    }
  }

  private get facts() {
    const { most } = this.options;
    const problems = Object.fromEntries(this.problems);
    const silent: Record<string, "offline" | "ended"> = {};
    for (const { config, status } of this.watching?.cameras ?? []) {
      if (status === "offline" || status === "ended") silent[config.id] = status;
    }
    return {
      ...(this.capacity !== undefined && { capacity: this.capacity }),
      ...(most !== undefined && { most }),
      isOpen: this.capacity !== undefined || most !== undefined,
      ...(this.problems.size > 0 && { problems }),
      ...(Object.keys(silent).length > 0 && { silent }),
    };
  }

  /** Measures with the camera that the leader names. */
  private async measure(signal: AbortSignal): Promise<void> {
    const { most, onNotice, measure, stores } = this.options;
    if (most !== undefined) {
      this.capacity = Number.MAX_SAFE_INTEGER;
      return;
    }
    for (let said = false; !signal.aborted; await sleep(500, undefined, { signal }).catch(() => {})) {
      const id = this.member.toMeasure;
      if (id === undefined || this.problems.has(id)) continue;
      try {
        const entry = await stores.cameras.get(id);
        const record = entry && parsed(cameraSchema, entry);
        if (!record) continue;
        const { camera } = await this.prepare(id, record);
        if (!said) onNotice("info", "measures how many frames per second this machine scores");
        said = true;
        this.capacity = await measure(camera.checkpoint!, camera, signal);
        this.member.tell();
        onNotice("info", `scores ${this.capacity.toFixed(1)} frames per second of cameras`);
        return;
      } catch (error) {
        if (!signal.aborted) this.refuse(id, oneLine(reasonOf(error)).slice(0, 500));
      }
    }
  }

  private async prepare(id: string, record: CameraRecord) {
    const { cluster, models, share, environment } = this.options;
    const checkpoint = await fetchModel(cluster.models, record.model, models);
    // As the supervisor will: a model that it refuses would stop the changes of all cameras.
    await readModel([checkpoint], {});
    return cameraOf(id, record, checkpoint, { share, environment });
  }

  /** Lets the supervisor watch these cameras, and no others. */
  private async goOn(held: ReadonlyMap<string, HeldCamera>, why: string): Promise<void> {
    this.held = held;
    for (const id of this.known.keys()) if (!held.has(id)) this.forget(id);
    for (const id of held.keys()) this.unshared.delete(id);
    // A camera whose model takes long, or does not come, must not keep others from ending.
    for (const camera of held.values()) void this.know(camera);
    await this.change(why);
  }

  /** Whoever shows cameras is to forget one that no worker will have again. */
  private async checkRemoved(id: string): Promise<void> {
    const { stores, onRemoved } = this.options;
    // Without an answer it may be there.
    const entry = await stores.cameras.get(id).catch(() => undefined);
    if (entry === null || (entry && entry.operation !== "PUT")) onRemoved?.(id);
  }

  /** Makes a camera what it is on this machine, and watches it if it is still this worker's. */
  private async know({ id, record, recordRevision }: HeldCamera): Promise<void> {
    if (this.known.get(id)?.recordRevision === recordRevision) return;
    if (this.preparing.get(id) === recordRevision) return;
    this.preparing.set(id, recordRevision);
    const isWanted = () => this.held.get(id)?.recordRevision === recordRevision;
    try {
      if (!this.known.has(id)) await this.learnt.fetch(id);
      const known = { recordRevision, ...(await this.prepare(id, record)) };
      if (!isWanted()) return;
      this.known.set(id, known);
      this.said.delete(id);
    } catch (error) {
      if (!isWanted()) return;
      this.forget(id);
      this.refuse(id, oneLine(reasonOf(error)).slice(0, 500));
    } finally {
      if (this.preparing.get(id) === recordRevision) this.preparing.delete(id);
    }
    // One change for all cameras that come at about the same time.
    this.changing ??= setTimeout(() => {
      this.changing = undefined;
      this.change().catch((error: unknown) => this.options.onNotice("error", reasonOf(error)));
    }, GATHER);
  }

  /** The next change ends a camera. */
  private forget(id: string): void {
    if (this.known.delete(id)) this.unshared.add(id);
  }

  /** A camera of this machine gets no scores, and goes to another one. @param why in a line */
  cannotScore(id: string, why: string): void {
    if (!this.known.has(id)) return;
    this.forget(id);
    this.refuse(id, oneLine(why).slice(0, 500));
  }

  /** A camera that this machine cannot watch goes to another one; later it tries again. */
  private refuse(id: string, text: string): void {
    if (this.said.get(id) !== text) this.options.onNotice("error", `${id}: cannot be watched: ${text}`);
    this.said.set(id, text);
    this.problems.set(id, text);
    clearTimeout(this.trying.get(id));
    this.trying.set(
      id,
      setTimeout(() => this.problems.delete(id), 1000 * TRY_AGAIN),
    );
    this.member.refuse(id);
    this.member.tell();
  }

  private async change(why = "its settings have changed"): Promise<void> {
    const cameras = [...this.known.values()].map(({ camera }) => camera);
    const ids = cameras.map(({ id }) => id);
    const own = [...this.known.values()].flatMap(({ secrets }) => secrets);
    const config: WatchConfig = {
      ...{ ...this.base, cameras, secrets: [...this.base.secrets, ...own] },
      // A sink that names no cameras gets all of them.
      sinks: this.base.sinks.map((sink) => ({ ...sink, cameras: sink.cameras.length > 0 ? sink.cameras : ids })),
    };
    this.onChange(config);
    await this.watching!.change(config, why);
  }

  /** Events wait for their camera for some time after the server was reached. */
  private async isElsewhere(camera: string): Promise<boolean> {
    const { member, options } = this;
    const entry = await options.stores.claims.get(camera);
    const claim = entry && parsed(claimSchema, entry);
    // An earlier session of this worker, before it was cut off or started again, is no other.
    if (claim?.session !== undefined && claim.worker !== options.name) return true;
    return member.inTouch > GIVE_UP * options.lease;
  }
}
