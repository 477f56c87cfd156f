// The watch process that benchmarks measure: the supervisor with its page, and figures for whoever
// started it.
import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf } from "../../node/files/messages.js";
import type { Camera } from "../../server/camera/camera.js";
import type { Outcome } from "../../server/camera/decisions.js";
import type { EventChange } from "../../server/records.js";
import { Supervisor } from "../../server/supervisor.js";
import { webApp } from "../../server/web/app.js";
import { serveWeb } from "../../server/web/serve.js";
import { WatchFeed } from "../../server/web/watched.js";
import type { FromWatch, Held, ToWatch, WatchJob } from "./messages.js";

/** Latencies that are kept until somebody asks for them. */
const MOST_LATENCIES = 100_000;

/** Runs a watch process, which is told by messages what to do. */
export function runWatchProcess(): void {
  const stop = new AbortController();
  let meter: Meter | undefined;
  process.on("message", (message: ToWatch) => {
    if (message.type === "start") {
      watch(message, stop.signal, (started) => {
        meter = started;
      }).then(
        () => process.exit(0),
        (error: unknown) => {
          process.send?.({ type: "failed", message: reasonOf(error) } satisfies FromWatch, () => process.exit(1));
        },
      );
    } else if (message.type === "stop") stop.abort();
    else if (message.type === "latencies") meter?.tellLatencies();
    else void meter?.hold(message.collect).then((held) => tell({ type: "held", ...held }));
  });
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole group; the benchmark decides when this ends.
  process.on("SIGINT", () => {});
}

function tell(message: FromWatch): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function watch(
  { config, options }: WatchJob,
  signal: AbortSignal,
  onStart: (meter: Meter) => void,
): Promise<void> {
  const feed = new WatchFeed();
  let meter: Meter | undefined;
  const supervisor = await Supervisor.open(config, options, {
    onChange: (change) => {
      meter?.change(change);
      feed.onChange(change);
    },
    onOutcome: (camera, outcome) => {
      meter?.outcome(camera, outcome);
      feed.onOutcome(camera, outcome);
    },
    onDelivery: (sink, result) => feed.onDelivery(sink, result),
    onNotice: (level, from, line) => tell({ type: "notice", line: `${level}: ${from}: ${line}` }),
  });
  meter = new Meter(supervisor);
  onStart(meter);
  const { web } = config;
  const page = web && (await serveWeb(webApp(supervisor, feed, web), web));
  if (page) tell({ type: "page", url: page.url });
  try {
    await supervisor.run(new Map(), signal);
  } finally {
    await page?.close();
    await supervisor.close();
  }
}

/** Measures a supervisor. */
class Meter {
  private readonly latencies = new Map<string, number[]>();
  /** The event of each camera that goes on, and when the frame arrived that made it sure. */
  private readonly events = new Map<string, { id: string; arrived: number }>();

  constructor(private readonly supervisor: Supervisor) {}

  outcome({ config: { id }, latency }: Camera, { event, level }: Outcome): void {
    if (event !== undefined && this.events.get(id)?.id !== event) {
      this.events.set(id, { id: event, arrived: Date.now() - 1000 * latency });
    }
    if (!Number.isFinite(level) || !Number.isFinite(latency)) return;
    const list = this.latencies.get(id) ?? [];
    if (list.length < MOST_LATENCIES) list.push(latency);
    this.latencies.set(id, list);
  }

  change({ change, event: { id, camera, kind } }: EventChange): void {
    const begun = this.events.get(camera);
    if (change === "new" && kind === "anomaly" && begun?.id === id) {
      tell({ type: "event", id, arrived: begun.arrived, kept: Date.now() });
    }
  }

  tellLatencies(): void {
    tell({ type: "latencies", cameras: [...this.latencies].map(([id, latencies]) => ({ id, latencies })) });
    this.latencies.clear();
  }

  /** @param collect whether garbage is collected before, and latencies are dropped */
  async hold(collect: boolean): Promise<Held> {
    if (collect) {
      this.latencies.clear();
      // What the first collection frees may hold more.
      for (let i = 0; i < 2; i++) globalThis.gc?.();
    }
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, external } = process.memoryUsage();
    const { cameras, enginePids } = this.supervisor;
    const sum = (read: (camera: Camera) => number) => cameras.reduce((all, camera) => all + read(camera), 0);
    return {
      ...{ cpu: (user + system) / 1e6, rss, heap: heapUsed, external, enginePids },
      handles: (await readdir("/proc/self/fd").catch(() => [])).length,
      resources: await lastingResources(),
      frames: sum(({ counts }) => counts.frames),
      scored: sum(({ counts }) => counts.scored),
      dropped: sum(({ counts }) => counts.dropped),
      connections: sum(({ counts }) => counts.reconnects),
    };
  }
}

/** Timers, sockets and others that last: requests come and go, on a fast machine at all times. */
async function lastingResources(): Promise<number> {
  let fewest = Number.POSITIVE_INFINITY;
  for (let moment = 0; moment < 5; moment++) {
    await sleep(10);
    const lasting = process.getActiveResourcesInfo().filter((name) => !/Req|WriteWrap/.test(name));
    fewest = Math.min(fewest, lasting.length);
  }
  return fewest;
}
