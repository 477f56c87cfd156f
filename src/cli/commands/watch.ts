import { Command, Option } from "commander";
import { InputError } from "../../errors.js";
import { adapterOption } from "../options/device.js";
import { numberAbove, wholeNumber } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import type { WatchCommandOptions } from "../watching.js";

/** `watch SOURCE…`: watches cameras, and says when something abnormal happens. */
export function watchCommand(): Command {
  const command = new Command("watch")
    .summary("watch cameras, and say when something abnormal happens")
    .description(
      "Watches cameras until Ctrl-C, and keeps events with clips in a folder. A camera's threshold is learnt from its first ten minutes, unless one is given; until then there are no events. If all sources are files, it ends with code 0 once they are over, unless --loop is given.",
    )
    .argument(
      "[sources...]",
      "rtsp, rtsps, http or https addresses, device:/dev/video0, files that are played as live, or folders into which a camera writes videos or images",
    )
    .option(
      "--config <file>",
      "take cameras and settings from this YAML file; paths in it are relative to its folder; an edited file is used at once",
    )
    .option(
      "-c, --checkpoint <file>",
      "the model (default: the configuration's, else the bundled model of drawn streets)",
    )
    .option("--data <dir>", "folder for events and clips (default: the configuration's, else ./sdmae-data)")
    .addOption(
      new Option("--threshold <t>", "scores from here on are abnormal, for all cameras without a threshold").argParser(
        numberAbove(0, 1e9),
      ),
    )
    .addOption(
      new Option("--port <n>", "port of the page; 0: any free one (default: the configuration's, else 8377)").argParser(
        wholeNumber(0, 65_535),
      ),
    )
    .option("--loop", "play files again and again")
    .option("--check", "say what is wrong with the configuration, and end")
    .addOption(
      new Option("--schema", "print the JSON schema of configurations, for editors, and end").conflicts([
        "config",
        "check",
      ]),
    )
    .addOption(adapterOption())
    .option("-q, --quiet", "print events only");
  return command
    .addHelpText(
      "after",
      examples(
        "npx sdmae watch rtsp://user:password@192.168.1.20/stream2 --checkpoint model.safetensors",
        "npx sdmae watch --config sdmae.yaml",
      ),
    )
    .action(async (sources: string[], options: WatchCommandOptions & { schema?: boolean }) => {
      if (options.schema) return printSchema(sources);
      await interruptible(async (signal) => {
        // What it needs is large; other commands start without it.
        const { watch } = await import("../watching.js");
        await watch(sources, options, signal);
      });
    });
}

/** @throws InputError if there are sources as well */
async function printSchema(sources: readonly string[]): Promise<void> {
  if (sources.length > 0) throw new InputError("--schema watches nothing: name no sources");
  const { configSchema } = await import("../../server/config/config.js");
  console.log(JSON.stringify(configSchema(), undefined, 2));
}
