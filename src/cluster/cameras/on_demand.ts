// What is known of the cluster, for somebody who looks: it is followed while that is so.
import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster } from "../connection.js";
import type { CameraStores } from "./stores.js";
import { ClusterView } from "./view.js";

/** Milliseconds to wait for signs of life: a server that was started again knows none. */
const LISTEN = 300;
/** Milliseconds for which it is followed after the last look. */
const IDLE = 60_000;

type ViewedStores = Pick<CameraStores, "cameras" | "claims" | "workers">;

/**
 * Opens a view, which knows who is alive.
 * @param now the server's clock; not needed where this machine's worker gives signs of life
 */
export async function openView(
  cluster: Pick<Cluster, "nats">,
  stores: ViewedStores,
  now?: () => Promise<number>,
): Promise<ClusterView> {
  const view = new ClusterView(cluster, stores, now && { now });
  await view.ready;
  await sleep(LISTEN);
  return view;
}

/** A view that is open while somebody looks. */
export class ViewOnDemand {
  /** What was opened last, if it is still followed. */
  current: ClusterView | undefined;
  private opened: Promise<ClusterView> | undefined;
  private idle: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(
    private readonly cluster: Pick<Cluster, "nats">,
    private readonly stores: ViewedStores,
    /** Called when nobody has looked for a while. */
    private readonly onIdle: () => void = () => {},
  ) {}

  /** What is known now. @throws if the server fails */
  get(): Promise<ClusterView> {
    clearTimeout(this.idle);
    if (!this.isClosed) this.idle = setTimeout(() => this.rest(), IDLE).unref();
    this.opened ??= this.open();
    return this.opened;
  }

  close(): void {
    this.isClosed = true;
    this.rest();
  }

  private async open(): Promise<ClusterView> {
    try {
      this.current = await openView(this.cluster, this.stores);
      return this.current;
    } catch (error) {
      this.opened = undefined;
      throw error;
    }
  }

  private rest(): void {
    clearTimeout(this.idle);
    const { opened } = this;
    this.opened = undefined;
    this.current = undefined;
    void opened?.then(
      (view) => {
        view.close();
        // It may have been opened meanwhile.
        if (this.current === view) this.current = undefined;
      },
      () => {},
    );
    if (!this.isClosed) this.onIdle();
  }
}
