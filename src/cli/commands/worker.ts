import { hostname } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { cacheFolder } from "../../node/adapters/swiftshader.js";
import { packageFile } from "../../node/files/package_files.js";
import { adapterOption, type DeviceOptions, robustOption, tuneOption } from "../options/device.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, natsOf, shareOf, shareOption } from "../options/nats.js";
import { numberIn } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { Interrupted, interruptible } from "../terminal/interrupt.js";

interface WorkerCommandOptions extends NatsCommandOptions, DeviceOptions {
  share: string;
  models: string;
  lease: number;
  name?: string;
  tune: boolean;
}

/** `worker --nats URL`: scores what `submit` has queued, until it is stopped. */
export function workerCommand(): Command {
  const command = new Command("worker")
    .summary("score the videos that `submit` has queued, with other machines")
    .description(
      "Scores videos of archives, which `submit` has queued at a NATS server with JetStream, one after another, until Ctrl-C. Run one for each GPU, on as many machines as you like. A video whose worker is gone goes to another one.",
    );
  return addNatsOptions(command)
    .addOption(shareOption())
    .option("--models <dir>", "where models are kept on this machine", join(cacheFolder(), "models"))
    .option(
      "--lease <s>",
      "seconds without a sign of life after which a video goes to another worker",
      numberIn(1, 3600),
      30,
    )
    .option("--name <name>", "of this worker, in `jobs` (default: the machine and the process)")
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae worker --nats nats://10.0.0.5:4222 --share /mnt/videos"))
    .action((options: WorkerCommandOptions) => interruptible((signal) => work(options, signal)));
}

async function work(options: WorkerCommandOptions, signal: AbortSignal): Promise<void> {
  const { adapter, robust, tune, lease, models, name = `${hostname()}-${process.pid}` } = options;
  const share = await shareOf(options.share);
  // Without these commands no client is loaded.
  const { openCluster } = await import("../../cluster/connection.js");
  const { Scorer } = await import("../../cluster/scorer.js");
  const { Worker } = await import("../../cluster/worker.js");
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const onWait = (line: string) => say(`${line}; waiting for it`);
  const cluster = await openCluster(natsOf(options), { lease, signal, onWait });
  try {
    say(`worker ${name} at ${cluster.shown}, videos in ${share}; Ctrl-C ends it`);
    const device = JSON.stringify({ adapter, robust, tune });
    const worker = new Worker({
      ...{ cluster, share, models, lease, name },
      scorer: new Scorer(packageFile("dist", "scorer.js"), [device]),
      onNotice: (level, line) => say(`${new Date().toISOString()} ${level === "info" ? "" : `${level}: `}${line}`),
    });
    await worker.run(signal);
  } finally {
    await cluster.close();
  }
  if (signal.aborted) throw new Interrupted("interrupted");
}
