import { Command, Option } from "commander";
import { frameOrders } from "../../node/media/frame_order.js";
import { adapterOption, robustOption, tuneOption } from "../options/device.js";
import { frameScoreOptions } from "../options/measure.js";
import { batchOption, headsOption, modelOptions, seedOption } from "../options/model.js";
import { givenOn, numberIn, parseSize, wholeNumber } from "../options/parse.js";
import { watchOptions } from "../options/watch.js";
import { type ScoreCommandOptions, score } from "../scoring.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";

/** `score INPUT --checkpoint FILE`: writes every frame's score, as CSV or JSON. */
export function scoreCommand(): Command {
  const command = new Command("score")
    .summary("score a video or a folder of images")
    .description(
      "Scores every frame of a video or of a folder of images: the higher the score, the less normal the frame.",
    )
    .argument(
      "<input>",
      "a video file, a folder of images, - for the standard input, or an http(s):// or rtsp(s):// address",
    )
    .requiredOption("-c, --checkpoint <file>", "the model: .safetensors, or .pth of the authors' code")
    .option("--student <file>", "checkpoint-best-student.pth of the authors' code, to merge into the model")
    .option("-o, --out <file>", "the file to write, .csv or .json (default: print CSV)");
  for (const option of [...watchOptions(), ...modelOptions(), ...frameScoreOptions()]) command.addOption(option);
  return command
    .addOption(seedOption())
    .addOption(headsOption())
    .addOption(
      new Option("--order <by>", "order of a folder's images: by the last number in the name, or by the whole name")
        .choices(frameOrders)
        .default("auto"),
    )
    .addOption(
      new Option(
        "--step <n>",
        "difference between the numbers of neighbouring frames in a folder (default: found from the names)",
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        "--raw-size <HEIGHTxWIDTH>",
        "the input is raw frames of this size, without a container, one after the other",
      ).argParser(parseSize),
    )
    .addOption(
      new Option("--raw-format <layout>", "layout of a raw frame's bytes")
        .choices(["bgr", "rgb", "bgra", "rgba", "gray"])
        .default("bgr"),
    )
    .addOption(
      new Option("--raw-fps <rate>", "frames per second of raw frames, for their times").argParser(
        numberIn(0.001, 1000),
      ),
    )
    .addOption(batchOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addOption(new Option("--profile", "print where the GPU time of a step goes").env("SDMAE_PROFILE"))
    .option("-q, --quiet", "no progress, no summary")
    .addHelpText("after", examples("npx sdmae score street.mp4 --checkpoint models/ped2.safetensors --out scores.csv"))
    .action((input: string, options: ScoreCommandOptions) =>
      interruptible((signal) => score(input, options, { isGiven: givenOn(command), signal })),
    );
}
