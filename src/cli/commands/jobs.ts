import { Command } from "commander";
import type { Progress } from "../../cluster/archive.js";
import type { Cluster } from "../../cluster/connection.js";
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { makeFolder } from "../../node/files/atomic.js";
import { oneLine } from "../../node/files/messages.js";
import { fetchAll } from "../fetch_results.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, natsOf } from "../options/nats.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { jobLines } from "../terminal/job_lines.js";

interface JobsOptions extends NatsCommandOptions {
  json?: boolean;
  fetch?: boolean;
  out?: string;
  keep?: boolean;
  cancel?: boolean;
}

/** `jobs`: how far the archives are that `submit` has queued. */
export function jobsCommand(): Command {
  const command = new Command("jobs")
    .summary("show how far the videos are that `submit` has queued")
    .description(
      "Lists archives: how many of their videos are done, which are being scored and where, the rate of all workers together, the time left, and why videos failed.",
    )
    .argument("[archive]", "of this one only");
  return addNatsOptions(command)
    .option("--json", "print one archive per line, as JSON, with the state of each video")
    .option("--fetch", "bring the results of an archive whose videos were uploaded to --out")
    .option("-o, --out <dir>", "the folder of results, for --fetch")
    .option("--keep", "with --fetch: leave results at the server too")
    .option("--cancel", "forget an archive: its videos are not scored any longer; results in folders stay")
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae jobs --nats nats://10.0.0.5:4222"))
    .action((wanted: string | undefined, options: JobsOptions) =>
      interruptible((signal) => {
        if (options.cancel) return cancel(wanted, options);
        return options.fetch ? fetch(wanted, options, signal) : list(wanted, options);
      }),
    );
}

async function cancel(wanted: string | undefined, options: JobsOptions): Promise<void> {
  if (wanted === undefined) throw new InputError("--cancel needs an archive");
  if (options.fetch) throw new InputError("--cancel and --fetch exclude each other");
  refuseIdle(options);
  const { withCluster } = await import("../../cluster/connection.js");
  const { cancelArchive } = await import("../../cluster/cancel.js");
  await withCluster(natsOf(options), async (cluster) => {
    const open = await cancelArchive(cluster, await archiveOf(cluster, wanted));
    console.log(`archive ${wanted}: cancelled; ${counted(open, "video")} will not be scored`);
  });
}

function refuseIdle({ out, keep = false }: JobsOptions): void {
  if (out !== undefined || keep) throw new InputError("--out and --keep have no effect without --fetch");
}

/** @throws InputError if there is no such archive */
async function archiveOf(cluster: Cluster, wanted: string): Promise<Progress> {
  const { progressOf } = await import("../../cluster/archive.js");
  const found = (await progressOf(cluster)).find(({ archive }) => archive.id === wanted);
  if (!found) throw new InputError(`there is no archive ${oneLine(wanted)}`);
  return found;
}

async function fetch(wanted: string | undefined, options: JobsOptions, signal: AbortSignal): Promise<void> {
  const { out, keep = false } = options;
  if (wanted === undefined || out === undefined) throw new InputError("--fetch needs an archive and --out");
  const { withCluster } = await import("../../cluster/connection.js");
  const { findUploads } = await import("../../cluster/uploads.js");
  await withCluster(natsOf(options), async (cluster) => {
    const found = await archiveOf(cluster, wanted);
    const store = await findUploads(cluster);
    if (!store || found.archive.out !== undefined) {
      throw new InputError(`the results of ${wanted} are in the shared folder: its videos were not uploaded`);
    }
    await makeFolder(out);
    await fetchAll(cluster, store, found.archive, found.videos.keys(), { out, keep, signal });
  });
}

async function list(wanted: string | undefined, options: JobsOptions): Promise<void> {
  refuseIdle(options);
  const { withCluster } = await import("../../cluster/connection.js");
  const { progressOf } = await import("../../cluster/archive.js");
  const all = await withCluster(natsOf(options), progressOf);
  const found = all.filter(({ archive }) => wanted === undefined || archive.id === wanted);
  if (wanted !== undefined && found.length === 0) throw new InputError(`there is no archive ${oneLine(wanted)}`);
  if (options.json) {
    for (const { archive, counts, videos } of found) {
      console.log(JSON.stringify({ ...archive, counts, videos: Object.fromEntries(videos) }));
    }
  } else if (found.length === 0) process.stderr.write("nothing was submitted yet\n");
  else for (const line of jobLines(found)) console.log(line);
}
