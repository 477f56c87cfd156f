import { join } from "node:path";
import { Command, Option } from "commander";
import type { Cluster } from "../../cluster/connection.js";
import { type CameraFrames, Pace } from "../../cluster/pace.js";
import type { Scorer } from "../../cluster/scorer.js";
import { InputError } from "../../errors.js";
import { cacheFolder } from "../../node/adapters/swiftshader.js";
import { packageFile } from "../../node/files/package_files.js";
import { adapterOption, type DeviceOptions, robustOption, tuneOption } from "../options/device.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, natsOf, shareOf, shareOption } from "../options/nats.js";
import { numberIn, wholeNumber } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { Interrupted, interruptible } from "../terminal/interrupt.js";

interface WorkerCommandOptions extends NatsCommandOptions, DeviceOptions {
  share?: string;
  models: string;
  lease: number;
  name?: string;
  tune: boolean;
  config?: string;
  data?: string;
  port?: number;
  /** Most cameras; 0: none. */
  cameras?: number;
  videos: boolean;
  loop?: boolean;
}

/** `worker --nats URL`: watches cameras and scores videos, with other machines. */
export function workerCommand(): Command {
  const command = new Command("worker")
    .summary("watch cameras and score videos, with other machines")
    .description(
      "Does its part of what there is to do at a NATS server with JetStream, until Ctrl-C: watches cameras of `cameras put`, and scores videos that `submit` has queued. Run one for each GPU, on as many machines as you like. What a worker had goes to another one when it is gone.",
    );
  return addNatsOptions(command)
    .addOption(shareOption(false))
    .option("--models <dir>", "where models are kept on this machine", join(cacheFolder(), "models"))
    .option(
      "--lease <s>",
      "seconds without a sign of life after which a worker's cameras and videos go to another one",
      numberIn(1, 3600),
      30,
    )
    .option("--name <name>", "how this worker's name begins, when its data folder is new (default: the machine)")
    .option("--config <file>", "settings of the page, of sinks and of storage, as of `watch`, without cameras")
    .option("--data <dir>", "folder of events and clips, of this worker alone (default: sdmae-data)")
    .option("--port <n>", "port of the page on this machine; 0: any free one (default: 8377)", wholeNumber(0, 65_535))
    .option("--cameras <n>", "most cameras; 0: none (default: as many as were measured)", wholeNumber(0, 10_000))
    .option("--no-videos", "score no videos of archives")
    .addOption(new Option("--loop", "play files that are cameras again and again").hideHelp())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae worker --nats nats://10.0.0.5:4222 --share /mnt/videos"))
    .action(async (options: WorkerCommandOptions) => {
      // It only ends when it is stopped: that is its success.
      await interruptible((signal) => work(options, signal)).catch((error: unknown) => {
        if (!(error instanceof Interrupted)) throw error;
      });
    });
}

async function work(options: WorkerCommandOptions, signal: AbortSignal): Promise<void> {
  const { lease, cameras } = options;
  if (cameras === 0 && !options.videos) {
    throw new InputError("there is nothing to do: no cameras (--cameras 0), and no videos (--no-videos)");
  }
  const share = options.share === undefined ? undefined : await shareOf(options.share);
  // Without these commands no client is loaded.
  const { openCluster } = await import("../../cluster/connection.js");
  const { watchCluster, workerConfig, workerNameOf } = await import("../cluster_session.js");
  const config = await workerConfig(options);
  const name = await workerNameOf(config.data, options.name);
  if (options.name !== undefined && !name.startsWith(`${options.name}-`)) {
    say(`this data folder's worker is ${name}, and stays so: its events and clips are known by that name`);
  }
  const onWait = (line: string) => say(`${line}; waiting for it`);
  await checkDevice(options, signal);
  const cluster = await openCluster(natsOf(options), { lease, signal, onWait });
  // If one part cannot go on, neither does the other.
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const scorer = options.videos ? await scorerOf(options) : undefined;
  const pace = new Pace();
  try {
    say(
      `worker ${name} at ${cluster.shown}${scorer ? `, videos ${share === undefined ? "that are uploaded" : `in ${share}`}` : ""}; Ctrl-C ends it`,
    );
    const onFrames = (counted: CameraFrames) => scorer?.pace(pace.update(counted));
    const session = { ...options, ...(share !== undefined && { share }), onFrames };
    const parts = [
      ...(cameras === 0 ? [] : [watchCluster(cluster, name, config, session, either)]),
      ...(scorer ? [scoreVideos(cluster, scorer, { ...options, share, name }, either)] : []),
    ];
    const ends = await Promise.allSettled(parts.map((part) => part.finally(() => failed.abort())));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  } finally {
    await cluster.close();
  }
}

async function scorerOf({ adapter, robust, tune }: WorkerCommandOptions): Promise<Scorer> {
  const { Scorer } = await import("../../cluster/scorer.js");
  return new Scorer(packageFile("dist", "scorer.js"), [JSON.stringify({ adapter, robust, tune })]);
}

/** @throws NoDevice if this machine's GPU cannot be used: nothing could be done then */
async function checkDevice(options: WorkerCommandOptions, signal: AbortSignal): Promise<void> {
  const scorer = await scorerOf(options);
  await scorer.check(signal).finally(() => scorer.close());
}

async function scoreVideos(
  cluster: Cluster,
  scorer: Scorer,
  { lease, models, share, name }: Pick<WorkerCommandOptions, "lease" | "models" | "share"> & { name: string },
  signal: AbortSignal,
): Promise<void> {
  const { Worker } = await import("../../cluster/worker.js");
  const onNotice = (level: "info" | "warn", line: string) =>
    say(`${new Date().toISOString()} ${level === "info" ? "" : `${level}: `}${line}`);
  await new Worker({ cluster, ...(share !== undefined && { share }), models, lease, name, scorer, onNotice }).run(
    signal,
  );
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
