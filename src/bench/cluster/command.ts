// bench/cluster.js: how many cameras and workers one NATS server carries.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Command, Option } from "commander";
import { numberIn, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { examples } from "../../cli/terminal/examples.js";
import { interruptible } from "../../cli/terminal/interrupt.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import type { CameraRecord } from "../../cluster/cameras/messages.js";
import { openCameraStores } from "../../cluster/cameras/stores.js";
import { withCluster } from "../../cluster/connection.js";
import { quantile } from "../../data/quantile.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { versions } from "../../node/files/versions.js";
import { NatsServer, type ServerFigures } from "./server.js";
import { Watchers } from "./watchers.js";
import { WorkersChild } from "./workers_child.js";

interface ClusterOptions {
  cameras: number;
  workers: number;
  lease: number;
  processes: number;
  events: number;
  json?: string;
}

/** Frames per second of a camera, and how many cameras more a worker carries than is its part. */
const FPS = 5;
const ROOM = 2.5;
/** Cameras that are put into the store at a time. */
const TOGETHER = 200;
/** Leases after which it no longer waits until all cameras are watched. */
const PATIENCE = 20;
const DAY = 24 * 3600;

/** `bench/cluster.js` */
export function clusterCommand(): Command {
  return new Command("cluster")
    .description(
      "Shares cameras among workers that watch nothing, over a real NATS server on this machine; crashes a worker and a process of workers; and measures times, messages, memory and processors.",
    )
    .addOption(new Option("--cameras <n>", "cameras").default(10_000).argParser(wholeNumber(1, 100_000)))
    .addOption(
      new Option("--workers <n>", "workers, each with a connection").default(500).argParser(wholeNumber(2, 10_000)),
    )
    .addOption(
      new Option("--lease <s>", "seconds without a sign of life until a worker is lost")
        .default(30)
        .argParser(numberIn(1, 3600)),
    )
    .addOption(new Option("--processes <n>", "processes of workers").default(10).argParser(wholeNumber(2, 100)))
    .addOption(new Option("--events <n>", "events per camera and day").default(10).argParser(numberIn(0, 1e5)))
    .option("--json <file>", "write the figures to a file")
    .addHelpText("after", examples("node bench/cluster.js --cameras 1000 --workers 50 --lease 5"))
    .action((options: ClusterOptions) => interruptible((signal) => cluster(options, signal)));
}

const columns: readonly Column[] = [
  ["figure", -50],
  ["value", -34],
];

async function cluster(options: ClusterOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs(options);
  const folder = await mkdtemp(join(tmpdir(), "sdmae-cluster-"));
  let run: Run | undefined;
  try {
    const server = await NatsServer.start(join(folder, "nats"));
    run = new Run(options, server, signal);
    for (const line of tableHead(columns)) console.log(line);
    await run.measure();
    if (options.json === undefined) return;
    const report = { date: new Date().toISOString(), versions: versions(), ...options, figures: run.figures };
    await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
    console.log(`written  ${options.json}`);
  } finally {
    await run?.end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One run of the benchmark. */
class Run {
  /** All lines of the table. */
  readonly figures: [what: string, value: string][] = [];
  private readonly watchers = new Watchers();
  /** Workers that have crashed. */
  private readonly lost = new Set<string>();
  private readonly children: WorkersChild[];

  constructor(
    private readonly options: ClusterOptions,
    private readonly server: NatsServer,
    private readonly signal: AbortSignal,
  ) {
    const { workers, processes } = options;
    this.children = Array.from({ length: Math.min(processes, workers) }, (_, at) => {
      const names = Array.from({ length: workers }, (_, i) => `worker-${i}`).filter((_, i) => i % processes === at);
      return new WorkersChild(names, (worker, time, cameras) => {
        if (this.lost.has(worker)) return;
        this.watchers.take(worker, time, cameras);
      });
    });
  }

  async measure(): Promise<void> {
    await this.putCameras();
    await this.start();
    await this.spread();
    await this.rest();
    await this.events();
    const { spread } = this.watchers;
    await this.crash("a worker crashed", spread[Math.floor(spread.length / 2)].worker);
    const leader = (await this.all((child) => child.leader())).find((worker) => worker !== undefined);
    if (leader !== undefined) await this.crash("the leader crashed", leader);
    await this.kill();
    const { begins, overlaps } = this.watchers;
    this.add("cameras that two workers watched at a time", `${overlaps} of ${begins} times that one began`);
  }

  async end(): Promise<void> {
    await Promise.all(this.children.map((child) => child.kill()));
    await this.server.end();
  }

  private add(what: string, value: string): void {
    this.figures.push([what, value]);
    console.log(tableRow(columns, [what, value]));
  }

  private async putCameras(): Promise<void> {
    const { cameras } = this.options;
    const record: CameraRecord = {
      settings: { source: "rtsp://10.0.0.1:554/stream", fps: FPS, clips: true, schedule: "mon-fri 06:00-20:00" },
      model: { hash: "0".repeat(64), extension: ".safetensors", name: "scene" },
      ...{ fps: FPS, enabled: true },
    };
    await withCluster({ url: this.server.url }, async (opened) => {
      const stores = await openCameraStores(opened);
      const text = JSON.stringify(record);
      for (let at = 0; at < cameras; at += TOGETHER) {
        const ids = Array.from({ length: Math.min(TOGETHER, cameras - at) }, (_, i) => `camera-${at + i}`);
        await Promise.all(ids.map((id) => stores.cameras.put(id, text)));
      }
    });
  }

  /** Workers connect. */
  private async start(): Promise<void> {
    const { cameras, workers, lease } = this.options;
    const before = await this.held();
    const { rss } = await this.server.figures();
    const began = performance.now();
    const capacity = FPS * Math.ceil((ROOM * cameras) / workers);
    await this.all((child) => child.start({ url: this.server.url, lease, capacity }));
    this.add("all workers connected, s", seconds(performance.now() - began));
    const [after, now] = [await this.held(), await this.server.figures()];
    const each = (after.rss - before.rss) / workers;
    this.add("memory of a worker", megabytes(each));
    this.add("memory of the server before, with all workers", `${megabytes(rss)}, ${megabytes(now.rss)}`);
  }

  private async spread(): Promise<void> {
    const { cameras, lease } = this.options;
    const [began, figures] = [Date.now(), await this.server.figures()];
    const before = await this.held();
    for (const child of this.children) child.begin();
    const isAll = await this.until(() => this.watchers.watched === cameras);
    const { watched, last, begins } = this.watchers;
    const [after, now] = [await this.held(), await this.server.figures()];
    this.add("all cameras are watched, s", isAll ? seconds(last - began) : `only ${watched} of ${cameras}`);
    this.add("  CPU of the server, of all workers, s", `${(now.cpu - figures.cpu).toFixed(1)}, ${cpu(before, after)}`);
    this.add("  messages in, out", `${now.messagesIn - figures.messagesIn}, ${now.messagesOut - figures.messagesOut}`);
    // Those that were not even move on, one at a time.
    await this.wait(lease);
    const spread = this.watchers.spread;
    this.add("cameras of a worker: least, most", `${spread[0]?.cameras}, ${spread.at(-1)?.cameras}`);
    this.add("cameras that moved for balance so far", String(this.watchers.begins - begins));
  }

  /** Nothing happens. */
  private async rest(): Promise<void> {
    const [before, held] = [await this.server.figures(), await this.held()];
    await this.wait(Math.max(20, this.options.lease));
    await this.traffic("at rest", before, held);
  }

  private async traffic(when: string, before: ServerFigures, held: { cpu: number }): Promise<void> {
    const { cameras } = this.options;
    const now = await this.server.figures();
    const time = now.time - before.time;
    const rate = (count: number) => count / time;
    const [messagesIn, messagesOut] = [
      rate(now.messagesIn - before.messagesIn),
      rate(now.messagesOut - before.messagesOut),
    ];
    const [bytesIn, bytesOut] = [rate(now.bytesIn - before.bytesIn), rate(now.bytesOut - before.bytesOut)];
    this.add(`${when}: messages/s in, out`, `${messagesIn.toFixed(0)}, ${messagesOut.toFixed(0)}`);
    this.add("  kB/s in, out", `${(bytesIn / 1000).toFixed(0)}, ${(bytesOut / 1000).toFixed(0)}`);
    const [eachIn, eachOut] = [messagesIn / cameras, messagesOut / cameras].map((one) => one.toFixed(4));
    this.add("  messages/s of a camera in, out", `${eachIn}, ${eachOut}`);
    const [fewIn, fewOut] = [bytesIn / cameras, bytesOut / cameras].map((one) => one.toFixed(1));
    this.add("  bytes/s of a camera in, out", `${fewIn}, ${fewOut}`);
    const after = await this.held();
    this.add(
      "  CPU of the server, of all workers, s/s",
      `${rate(now.cpu - before.cpu).toFixed(2)}, ${((after.cpu - held.cpu) / time).toFixed(2)}`,
    );
    this.add("  memory of the server", megabytes(now.rss));
  }

  private async events(): Promise<void> {
    const { events, cameras, lease } = this.options;
    const perSecond = (events * cameras) / DAY;
    const time = Math.max(20, lease);
    const [before, held] = [await this.server.figures(), await this.held()];
    const rate = { perSecond: perSecond / this.children.length, seconds: time };
    const [sent] = await Promise.all([this.all((child) => child.events(rate)), this.wait(time)]);
    await this.traffic(`${events} events per camera and day`, before, held);
    this.add("  messages of events sent, failed", `${sum(sent, "messages")}, ${sum(sent, "failed")}`);
    const [began, figures] = [performance.now(), await this.server.figures()];
    const burst = await this.all((child) => child.events());
    const took = (performance.now() - began) / 1000;
    const messages = sum(burst, "messages");
    this.add("an event of each camera at once, s", took.toFixed(1));
    this.add("  messages of events sent, failed", `${messages}, ${sum(burst, "failed")}`);
    const used = (await this.server.figures()).cpu - figures.cpu;
    this.add("  messages of events/s; CPU of the server, s", `${(messages / took).toFixed(0)}; ${used.toFixed(1)}`);
  }

  /** The connection of a worker ends. */
  private async crash(what: string, worker: string): Promise<void> {
    const child = this.children.find(({ names }) => names.includes(worker))!;
    const at = await child.crash(worker);
    await this.takenOver(what, [worker], at);
  }

  /** A process of workers ends. */
  private async kill(): Promise<void> {
    const child = this.children.pop()!;
    const at = await child.kill();
    await this.takenOver(
      "a process crashed",
      child.names.filter((name) => !this.lost.has(name)),
      at,
    );
  }

  private async takenOver(what: string, workers: readonly string[], at: number): Promise<void> {
    const { lease } = this.options;
    const cameras = workers.flatMap((worker) => {
      this.lost.add(worker);
      return this.watchers.lose(worker);
    });
    const begun = () => this.watchers.begunSince(cameras, at);
    await this.until(() => begun().length === cameras.length);
    const times = Float64Array.from(begun(), (one) => (one - at) / 1000).sort();
    this.add(`${what}: workers, cameras`, `${workers.length}, ${cameras.length}`);
    const of = (share: number) => (times.length === 0 ? "-" : quantile(times, share).toFixed(1));
    this.add("  watched again after s: p50, p99, last", `${of(0.5)}, ${of(0.99)}, ${of(1)}`);
    if (times.length < cameras.length) this.add("  not watched again", String(cameras.length - times.length));
    const late = times.filter((one) => one > 2 * lease).length;
    this.add("  later than two leases", String(late));
    await this.wait(lease / 2);
  }

  /** Seconds of the processor and bytes of all processes. */
  private async held(): Promise<{ cpu: number; rss: number }> {
    const held = await this.all((child) => child.hold());
    return { cpu: sum(held, "cpu"), rss: sum(held, "rss") };
  }

  private all<T>(work: (child: WorkersChild) => Promise<T>): Promise<T[]> {
    return Promise.all(this.children.map(work));
  }

  /** @returns whether it has come to be, before it was given up */
  private async until(is: () => boolean): Promise<boolean> {
    const end = performance.now() + 1000 * PATIENCE * this.options.lease;
    while (!is()) {
      if (performance.now() > end) return false;
      await this.wait(0.1);
    }
    return true;
  }

  private async wait(time: number): Promise<void> {
    await pause(1000 * time, undefined, { signal: this.signal }).catch(() => {});
    this.signal.throwIfAborted();
  }
}

const sum = <Key extends string>(list: readonly Record<Key, number>[], key: Key): number =>
  list.reduce((all, one) => all + one[key], 0);
const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(1);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const cpu = (before: { cpu: number }, after: { cpu: number }): string => (after.cpu - before.cpu).toFixed(1);
