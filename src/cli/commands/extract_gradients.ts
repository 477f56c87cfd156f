import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import type { Frame } from "../../data/frame.js";
import { motionGradient, withNeighbours } from "../../data/motion_gradient.js";
import { InputError } from "../../errors.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { mkdirs, writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { listFrameFiles } from "../../node/media/frame_folder.js";
import { inFlight } from "../../node/media/in_flight.js";
import { encodePng, isWholePng } from "../../node/media/png_write.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

type Split = "train" | "test";

interface ExtractOptions {
  out?: string;
  dataset?: string;
  split: Split[];
  force?: boolean;
  quiet?: boolean;
}

/** The authors' name of the folder. */
const GRADIENTS = "gradients2";
const IMAGES_IN_FLIGHT = 4;

/** `extract-gradients ROOT`: writes motion gradients as files, for the authors' code. */
export function extractGradientsCommand(): Command {
  return new Command("extract-gradients")
    .summary("write a data set's motion gradients for the authors' code")
    .description(
      "Writes the motion gradient of each frame, |frame before - frame after|, as SPLIT/gradients2/VIDEO/NUMBER.png, which the authors' code reads. " +
        "Files that are complete already are kept.",
    )
    .argument("<root>", "the data set's folder, with train/ and test/")
    .option("-o, --out <dir>", "write into train/ and test/ of this folder (default: beside the frames)")
    .addOption(new Option("--dataset <name>", "the data set's layout (default: detected)").choices(layoutNames))
    .addOption(
      new Option("--split <names>", "splits to write").default(["train", "test"], "train,test").argParser(splitNames),
    )
    .option("--force", "write again what is there already")
    .option("-q, --quiet", "no progress, no summary")
    .addHelpText("after", examples("node tools/extract-gradients.js avenue/"))
    .action((root: string, options: ExtractOptions) => interruptible((signal) => extract(root, options, signal)));
}

function splitNames(text: string): Split[] {
  const names = text.split(",");
  if (!names.every((name) => name === "train" || name === "test")) {
    throw new InvalidArgumentError("Give train, test, or train,test.");
  }
  return names;
}

async function extract(root: string, options: ExtractOptions, signal: AbortSignal): Promise<void> {
  const dataset = await openDataset(root, { layout: options.dataset });
  const videos = options.split.flatMap((split) =>
    dataset[split].map((video) => ({ video, folder: gradientFolder(split, video, options.out) })),
  );
  if (videos.length === 0) throw new InputError(`${oneLine(root)} has no video in ${options.split.join(" or ")}`);
  const progress = new Progress("frames", await totalFrames(dataset, options.split), options.quiet ?? false);
  let [written, kept] = [0, 0];
  const warnings: string[] = [];
  try {
    for (const { video, folder } of videos) {
      signal.throwIfAborted();
      const source = await video.open();
      const names = await numberNames(video);
      await mkdirs(folder).catch((error: unknown) => {
        throw new InputError(
          `${oneLine(folder)} cannot be made (${reasonOf(error)}); choose another folder with --out`,
        );
      });
      const isThere = (name: string) =>
        !options.force && isWholePng(join(folder, `${name}.png`), source.width, source.height);
      if (names && (await allOf(names, isThere))) {
        kept += names.length;
        progress.advance(names.length);
        continue;
      }
      await inFlight(withNeighbours(source.frames(signal)), IMAGES_IN_FLIGHT, async (moment) => {
        const name = names?.[moment.frame.index] ?? nameOfPosition(moment.frame);
        if (await isThere(name)) {
          kept++;
        } else {
          const png = await encodePng(motionGradient(moment), source.width, source.height);
          await writeFileAtomic(join(folder, `${name}.png`), png);
          written++;
        }
        progress.advance();
      });
      warnings.push(...(source.warnings ?? []));
    }
  } finally {
    progress.stop();
  }
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (!options.quiet) {
    const there = kept > 0 ? `, ${kept} were there already` : "";
    console.log(`${written} motion gradients written in ${progress.seconds.toFixed(1)} s${there}`);
  }
}

/**
 * A video's folder of gradients: beside the folder of frames, or in the split's folder of `out`.
 */
function gradientFolder(split: Split, { name, path }: DatasetVideo, out?: string): string {
  const videos = dirname(path);
  const beside = ["frames", "videos"].includes(basename(videos)) ? dirname(videos) : videos;
  return join(out === undefined ? beside : join(out, split), GRADIENTS, name);
}

/** The frames' numbers as the file names spell them; undefined for a video file. */
async function numberNames({ path }: DatasetVideo): Promise<string[] | undefined> {
  if (!(await stat(path)).isDirectory()) return undefined;
  return (await listFrameFiles(path)).map(({ name, number }) => {
    const digits = /(\d+)\D*$/.exec(name.replace(/\.[^.]*$/, ""))?.[1];
    return digits ?? String(number);
  });
}

/** The name that the authors' code gives a frame. */
function nameOfPosition({ number }: Frame): string {
  return String(number).padStart(4, "0");
}

async function allOf(names: readonly string[], isThere: (name: string) => Promise<boolean> | false): Promise<boolean> {
  for (const name of names) if (!(await isThere(name))) return false;
  return true;
}

/** The number of frames, partly estimated; undefined if a video has no estimate. */
async function totalFrames(dataset: Dataset, splits: readonly Split[]): Promise<number | undefined> {
  let total = 0;
  for (const video of splits.flatMap((split) => dataset[split])) {
    const count = video.frameCount ?? (await video.open()).estimatedFrameCount;
    if (count === undefined) return undefined;
    total += count;
  }
  return total;
}
