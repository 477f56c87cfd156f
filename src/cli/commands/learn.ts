import { Command, Option } from "commander";
import type { LearnCommandOptions } from "../learning.js";
import { adapterOption, robustOption } from "../options/device.js";
import { numberIn, wholeNumber } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";

/** `learn CAMERA`: trains a model on what `watch` has kept of a camera's normal video. */
export function learnCommand(): Command {
  const command = new Command("learn")
    .summary("train a camera's model on its own normal video")
    .description(
      "Trains on the normal video that `watch` has kept of a camera, starting from the camera's present model. The new model is taken only if validation without labels rates it higher; the one before is kept. " +
        "It needs five minutes of normal video, and takes as long as `train --small`: less than an hour on two CPU cores with lavapipe, about four times as long with SwiftShader. " +
        "In the data folder it writes the model into cameras/CAMERA/model/, and the page and log of training into cameras/CAMERA/learning/. " +
        "`watch` may run meanwhile, and takes the new model over by itself. If it was interrupted, the same command continues.",
    )
    .argument("<camera>", "the camera's id")
    .option("--config <file>", "the configuration of `watch`")
    .option("--data <dir>", "the folder of `watch` (default: the configuration's, else ./sdmae-data)")
    .option(
      "-c, --checkpoint <file>",
      "the model that `watch` is started with, for a camera that has learnt none (default: the configuration's, else the bundled model of drawn streets)",
    )
    .option("--back", "return to the previous model; again: to the newer one")
    .option("--restart", "begin anew, instead of continuing what was interrupted")
    .addOption(new Option("--epochs <n>", "epochs (default: 12)").argParser(wholeNumber(1, 10_000)))
    .addOption(new Option("--epoch-samples <n>", "samples of an epoch (default: 2048)").argParser(wholeNumber(1, 1e9)))
    .addOption(new Option("--lr <rate>", "learning rate (default: 0.0007)").argParser(numberIn(1e-12, 10)))
    .addOption(
      new Option("--save-every <seconds>", "seconds between checkpoints within an epoch")
        .default(300)
        .argParser(numberIn(0.1, 1e6)),
    )
    .addOption(
      new Option("--memory <MiB>", "GPU memory for what a step computes (default: 4096, 1024 without a GPU)").argParser(
        wholeNumber(16, 1e6),
      ),
    )
    .addOption(
      new Option("--frame-memory <MiB>", "GPU memory for frames (default: 8192, 1024 without a GPU)").argParser(
        wholeNumber(1, 1e6),
      ),
    )
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("-q, --quiet", "no progress");
  return command
    .addHelpText("after", examples("npx sdmae learn front --config sdmae.yaml", "npx sdmae learn front --back"))
    .action((camera: string, options: LearnCommandOptions) =>
      interruptible(async (signal) => {
        // What it needs is large; other commands start without it.
        const { learn } = await import("../learning.js");
        await learn(camera, options, signal);
      }),
    );
}
