// A worker of the cluster that takes cameras, and watches nothing.
import { EventStream } from "../../cluster/cameras/event_stream.js";
import { Member } from "../../cluster/cameras/member.js";
import { openCameraStores } from "../../cluster/cameras/stores.js";
import { type Cluster, openCluster } from "../../cluster/connection.js";
import type { EventChange } from "../../server/records.js";
import type { WorkersJob } from "./messages.js";

/** A worker with a connection of its own. */
export class IdleWorker {
  private readonly stopping = new AbortController();

  private constructor(
    private readonly cluster: Cluster,
    private readonly member: Member,
    private readonly events: EventStream,
  ) {}

  /**
   * Connects a worker.
   * @param onWatch takes in all that it watches from now on
   */
  static async open(
    name: string,
    { url, lease, capacity }: Omit<WorkersJob, "names">,
    onWatch: (cameras: string[]) => void,
  ): Promise<IdleWorker> {
    const cluster = await openCluster({ url }, { lease, signal: new AbortController().signal, onWait: () => {} });
    const stores = await openCameraStores(cluster);
    const events: EventStream = new EventStream({
      ...{ cluster, worker: name },
      leaseOf: (camera) => member.leaseOf(camera),
      isElsewhere: () => true,
      onRefused: () => {},
    });
    const member = new Member({
      ...{ cluster, stores, name, lease },
      facts: () => ({ capacity, isOpen: true }),
      watch: async (held) => onWatch([...held.keys()]),
      taken: async (camera) => void (await events.taken(camera)),
      settled: async () => {},
      onNotice: (level, line) => {
        if (level !== "info") process.stderr.write(`${name}: ${line}\n`);
      },
    });
    return new IdleWorker(cluster, member, events);
  }

  /** Cameras that it has. */
  get cameras(): string[] {
    return [...this.member.cameras.keys()];
  }

  /** Whether it says who watches what. */
  get isLeading(): boolean {
    return this.member.isLeading;
  }

  /** Takes cameras, until it crashes. */
  begin(): void {
    void this.member.run(this.stopping.signal).catch(() => {});
  }

  /** An event of a camera begins and ends. @returns how many of both arrived */
  async event(camera: string): Promise<number> {
    const start = new Date().toISOString();
    const event = { id: `${camera}.${start}`, camera, kind: "anomaly" as const, start, zones: [], threshold: 0.5 };
    const peak = { time: start, level: 0.75, box: { x: 0.25, y: 0.25, width: 0.1, height: 0.1 } };
    let arrived = 0;
    const changes: EventChange[] = [
      { change: "new", time: start, event: { ...event, peak } },
      { change: "end", time: start, event: { ...event, peak, end: start, snapshot: `${camera}/${start}.jpg` } },
    ];
    for (const change of changes) {
      arrived += await this.events.send(change).then(
        () => 1,
        () => 0,
      );
    }
    return arrived;
  }

  /** Ends its connection without a word. */
  async crash(): Promise<void> {
    await this.cluster.close();
    this.stopping.abort();
  }
}
