// Waiting until workers are done with videos, and noticing that there are none.
import { setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../errors.js";
import { type Progress, progressOf } from "./archive.js";
import { type Cluster, natsReason, QUEUE, WORKERS } from "./connection.js";
import type { VideoRecord } from "./messages.js";

/** Milliseconds between looks, unless others are wanted. */
const LOOK = 1000;
/** Looks in a row that find no worker: between two requests a worker is not seen. */
const LOOKS = 5;

/** What is waited for, and who hears of it. */
export interface Waiting {
  archive: string;
  hashes: ReadonlySet<string>;
  /** The archive's queue. Default: that of the shared folder. */
  queue?: string;
  /** Milliseconds between looks. Default: a second. */
  every?: number;
  signal: AbortSignal;
  /** Takes in what is known of the videos. */
  onLook(records: readonly VideoRecord[]): void;
  /** All workers are gone, or one is there again. */
  onWorkers?(areThere: boolean): void;
}

/**
 * Waits until all videos are done or put aside. A server that is away for a while is waited for.
 * @returns what became of them
 * @throws InputError if the connection gives up; the signal's reason
 */
export async function waitForVideos(
  cluster: Pick<Cluster, "archives" | "videos" | "manager" | "nats" | "shown">,
  { archive, hashes, queue = QUEUE, every = LOOK, signal, onLook, onWorkers = () => {} }: Waiting,
): Promise<VideoRecord[]> {
  const workers = new Workers(cluster, queue);
  let areThere = true;
  for (;;) {
    try {
      const all = await progressOf(cluster);
      const found = all.find((one) => one.archive.id === archive);
      const records = [...(found?.videos ?? [])].filter(([hash]) => hashes.has(hash)).map(([, record]) => record);
      onLook(records);
      const over = records.filter(({ state }) => state === "done" || state === "failed");
      if (over.length === hashes.size) return records;
      const now = await workers.look(all);
      if (now !== areThere) onWorkers(now);
      areThere = now;
    } catch (error) {
      if (cluster.nats.isClosed()) throw new InputError(`${cluster.shown}: ${natsReason(error)}`);
    }
    await sleep(every, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Tells whether anybody works. */
class Workers {
  /** What each video that is scored looked like last, and when that changed. */
  private readonly seen = new Map<string, { since: string; at: number }>();
  private missed = 0;

  constructor(
    private readonly cluster: Pick<Cluster, "manager">,
    private readonly queue: string,
  ) {}

  /** @returns false if no worker was there in the last looks */
  async look(all: readonly Progress[]): Promise<boolean> {
    const { num_waiting, config } = await this.cluster.manager.consumers.info(this.queue, WORKERS);
    const lease = (config.ack_wait ?? 0) / 1e6;
    const now = performance.now();
    let isOne = num_waiting > 0;
    for (const { archive, videos } of all) {
      for (const [hash, { state, since }] of videos) {
        if (state !== "running") continue;
        const key = `${archive.id}.${hash}`;
        // Clocks of machines differ: only changes count.
        const before = this.seen.get(key);
        if (before?.since !== since) this.seen.set(key, { since, at: now });
        isOne ||= before?.since !== since || now - before.at < lease;
      }
    }
    this.missed = isOne ? 0 : this.missed + 1;
    return this.missed < LOOKS;
  }
}
