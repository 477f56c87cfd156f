import { Command } from "commander";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, natsOf } from "../options/nats.js";
import { examples } from "../terminal/examples.js";
import { jobLines } from "../terminal/job_lines.js";

interface JobsOptions extends NatsCommandOptions {
  json?: boolean;
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
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae jobs --nats nats://10.0.0.5:4222"))
    .action(list);
}

async function list(wanted: string | undefined, options: JobsOptions): Promise<void> {
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
