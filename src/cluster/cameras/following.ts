// Follows stores until the end, also if the server was away.
import { setTimeout as sleep } from "node:timers/promises";
import type { KV, KvEntry, KvWatchOptions } from "@nats-io/kv";
import type { Cluster } from "../connection.js";

/** Milliseconds until a store that cannot be followed is tried again. */
const TRY_AGAIN = 500;

/** Follows some stores, or entries of them. */
export class Following {
  private readonly watches = new Set<{ stop(): void }>();
  private isClosed = false;

  constructor(private readonly cluster: Pick<Cluster, "nats">) {
    void this.readAgain();
  }

  /** Takes in all entries of a store. @returns resolves once all was read that is there now */
  all(store: KV, take: (entry: KvEntry) => void): Promise<void> {
    return new Promise((resolve) => {
      void this.follow(store, undefined, take, resolve);
    });
  }

  /** Takes in an entry, and its changes. */
  entry(store: KV, key: string, take: (entry: KvEntry) => void): void {
    void this.follow(store, { key }, take, () => {});
  }

  close(): void {
    this.isClosed = true;
    for (const one of this.watches) one.stop();
  }

  /** A server that was away may have forgotten who followed it. */
  private async readAgain(): Promise<void> {
    for await (const { type } of this.cluster.nats.status()) {
      if (this.isClosed) return;
      if (type === "reconnect") for (const one of this.watches) one.stop();
    }
  }

  private async follow(
    store: KV,
    which: KvWatchOptions | undefined,
    take: (entry: KvEntry) => void,
    onReady: () => void,
  ): Promise<void> {
    while (!this.isClosed) {
      try {
        const isEmpty = which === undefined && (await store.status()).streamInfo.state.messages === 0;
        const entries = await store.watch(which);
        const one = { stop: () => entries.stop() };
        this.watches.add(one);
        if (this.isClosed) one.stop();
        if (isEmpty) onReady();
        try {
          for await (const entry of entries) {
            if (this.isClosed) break;
            take(entry);
            if (entry.delta === 0) onReady();
          }
        } finally {
          this.watches.delete(one);
          one.stop();
        }
      } catch {
        // The server is away: the connection comes again by itself.
      }
      if (!this.isClosed) await sleep(TRY_AGAIN, undefined, { ref: false });
    }
  }
}
