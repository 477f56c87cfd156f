import { rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { Command, Option } from "commander";
import { knownTotal } from "../../counted.js";
import type { FrameSource } from "../../data/frame.js";
import { scoreLimit } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { Detector } from "../../node/detector.js";
import { AtomicFile, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { calibrationPath } from "../../node/files/calibration_file.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { openInput } from "../../node/media/open.js";
import { calibrationPage } from "../../report/calibration/page_file.js";
import { usualAlarmRule } from "../../watch/alarm_rule.js";
import { checkLengths } from "../../watch/calibration.js";
import type { CameraCalibrateOptions } from "../calibrating.js";
import { refuseRepeated } from "../config_paths.js";
import { Calibration, lengthOf, usualAlarmsPerDay } from "../normal_video.js";
import { adapterOption, type DeviceOptions, deviceOf, robustOption, tuneOption } from "../options/device.js";
import { withLogin } from "../options/input.js";
import {
  type FrameScoreOptions,
  frameScoreOf,
  frameScoreOptions,
  mapForDetector,
  scoringNotices,
} from "../options/measure.js";
import {
  batchOption,
  checkpointPaths,
  headsOption,
  type ModelOptions,
  modelOptions,
  scoreOptions,
} from "../options/model.js";
import { givenOn, type IsGiven, numberIn, wholeNumber } from "../options/parse.js";
import { fpsOption, usualFps, usualHours } from "../options/watch.js";
import { refuseOutputs } from "../outputs/refuse.js";
import { calibrationLines } from "../terminal/calibration_summary.js";
import { examples } from "../terminal/examples.js";
import { alarmRuleText, type Fact, frameScoreText, machineFacts, modelFacts } from "../terminal/facts.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

interface CalibrateOptions extends ModelOptions, FrameScoreOptions, DeviceOptions {
  checkpoint: string;
  student?: string;
  alarmsPerDay: number;
  out?: string;
  report?: string;
  fps?: number;
  seed: number;
  batch?: number;
  heads?: number;
  tune: boolean;
  quiet?: boolean;
}

type AnyCalibrateOptions = Omit<CalibrateOptions, "checkpoint"> & Partial<CameraCalibrateOptions>;

/** Options that a camera has too; those that only a camera has; of these, only one that is live. */
const withCamera = ["config", "checkpoint", "data", "hours", "fresh", "loop", "report", "adapter", "quiet"];
const onlyCamera = ["data", "hours", "fresh", "loop"];
const onlyLive = ["hours", "loop"];

/**
 * `calibrate VIDEO… --checkpoint FILE`, `calibrate CAMERA [VIDEO…] --config FILE`: finds the
 * threshold for a rate of false alarms.
 */
export function calibrateCommand(): Command {
  const command = new Command("calibrate")
    .summary("find a threshold from normal videos")
    .description(
      "Finds the threshold that gives a wanted number of false alarms, from videos in which nothing is abnormal, and keeps it beside the checkpoint, where `score` finds it. With --config it does so for a camera, live or from its recorded videos, alerts nobody, and keeps the threshold and the usual view for `watch`.",
    )
    .argument(
      "<videos...>",
      "normal videos, or folders of numbered images: at least a minute in all; with --config: a camera's id, then its recorded videos, if any",
    )
    .option("-c, --checkpoint <file>", "the model: .safetensors, or .pth of the authors' code")
    .option("--config <file>", "calibrate a camera of this configuration of `watch`")
    .option("--data <dir>", "the data folder (default: the configuration's)")
    .addOption(
      new Option("--hours <n>", `hours of video that are watched live (default: ${usualHours})`).argParser(
        numberIn(0.001, 24),
      ),
    )
    .option("--fresh", "forget what was learnt before, rather than add to it")
    .option("--loop", "if the camera is a file, play it again and again")
    .option("--student <file>", "checkpoint-best-student.pth of the authors' code, to merge into the model")
    .option("-o, --out <file>", "the file to write (default: CHECKPOINT.calibration.json)")
    .option("--report <dir>", "write a page into this folder: histogram, threshold, false alarms; one HTML file")
    .addOption(
      new Option("--alarms-per-day <n>", "how many false alarms per day are acceptable")
        .default(usualAlarmsPerDay)
        .argParser(numberIn(1e-3, 1e4)),
    )
    .addOption(fpsOption());
  for (const option of [...modelOptions(), ...frameScoreOptions()]) command.addOption(option);
  command
    .addOption(new Option("--seed <n>", "seed of the random masks").default(0).argParser(wholeNumber(0)))
    .addOption(headsOption())
    .addOption(batchOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .option("-q, --quiet", "no progress");
  for (const option of command.options) option.helpGroup(groupOf(option.attributeName()));
  return command
    .addHelpText(
      "after",
      examples(
        "npx sdmae calibrate monday.mp4 tuesday.mp4 --checkpoint models/ped2.safetensors --alarms-per-day 1",
        "npx sdmae calibrate front --config sdmae.yaml --hours 24",
        "npx sdmae calibrate front monday.mp4 --config sdmae.yaml",
      ),
    )
    .action((names: string[], options: AnyCalibrateOptions) =>
      interruptible(async (signal) => {
        const { config, checkpoint } = options;
        refuseOptions(command, names, config !== undefined);
        if (config !== undefined) {
          // What it needs is large; other commands start without it.
          const { calibrateCamera } = await import("../calibrating.js");
          return calibrateCamera(names, { ...options, config }, signal);
        }
        if (checkpoint === undefined) {
          throw new InputError("name the model (--checkpoint FILE), or the configuration of a camera (--config FILE)");
        }
        return calibrate(names, { ...options, checkpoint }, givenOn(command), signal);
      }),
    );
}

/** The heading in --help above an option. */
function groupOf(name: string): string {
  if (onlyCamera.includes(name)) return "Options with --config (a camera):";
  return withCamera.includes(name) ? "Options:" : "Options without --config:";
}

/** @throws InputError for an option that would have no effect */
function refuseOptions(command: Command, names: readonly string[], isCamera: boolean): void {
  const given = command.options.filter((option) => givenOn(command)(option.attributeName()));
  const refuse = (isUseless: (name: string) => boolean, why: string) => {
    const found = given.find((option) => isUseless(option.attributeName()));
    if (found) throw new InputError(`${found.long} has no effect ${why}`);
  };
  if (!isCamera) {
    refuse((name) => onlyCamera.includes(name), "without --config");
    return;
  }
  if (given.some((option) => option.long === "--alarms-per-day")) {
    throw new InputError("--alarms-per-day has no effect with --config: set alarms_per_day of the camera there");
  }
  refuse((name) => !withCamera.includes(name), "with --config");
  if (names.length > 1) refuse((name) => onlyLive.includes(name), "on recorded videos");
}

async function calibrate(
  videos: readonly string[],
  options: CalibrateOptions,
  isGiven: IsGiven,
  signal: AbortSignal,
): Promise<void> {
  const say = (line: string) => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  // 1. The model, the videos and the file, so that what is wrong with them is reported first.
  const checkpoint = await readCheckpoint(checkpointPaths(options), options.heads);
  const out = options.out ?? calibrationPath(options.checkpoint);
  await refuseOutputs({ json: out });
  await refuseRepeated(videos);
  const { report } = options;
  const sources: FrameSource[] = [];
  let file: AtomicFile | undefined;
  let [madeFolder, done] = [false, false];
  let detector: Detector | undefined;
  let progress: Progress | undefined;
  try {
    for (const video of videos) sources.push(await openInput(withLogin(video), { signal }));
    const lengths = sources.map((source) => lengthOf(source, options.fps));
    if (lengths.every((length) => length !== undefined)) checkLengths(lengths);
    file = await AtomicFile.create(out);
    madeFolder = report !== undefined && (await makeFolder(report, `--report ${report}`));
    detector = await Detector.open(checkpoint, {
      ...{ ...scoreOptions(options), frameScore: frameScoreOf(options), seed: options.seed, batch: options.batch },
      ...{ ...deviceOf(options), tune: options.tune, tokenMaps: true, onNotice: say },
    });
    const kind = mapForDetector(detector);
    for (const notice of scoringNotices(detector, options, isGiven, { map: kind })) say(notice);
    // 2. Scores of all videos.
    const counts = sources.map(({ frameCount, estimatedFrameCount }) => frameCount ?? estimatedFrameCount);
    progress = new Progress("frames", knownTotal(counts), options.quiet ?? false, true);
    const calibration = new Calibration(detector);
    for (const source of sources) {
      const fps = options.fps ?? source.fps ?? usualFps;
      if (source.fps === undefined && options.fps === undefined) {
        progress.print(`${source.name} has no clock: ${fps} frames per second are assumed (--fps)`, process.stderr);
      }
      if (source.fps !== undefined && options.fps !== undefined) {
        progress.print(`${source.name} has its own clock: --fps has no effect on it`, process.stderr);
      }
      await calibration.add(source, fps, signal, () => progress?.advance());
      for (const warning of source.warnings ?? []) progress.print(`warning: ${warning}`, process.stderr);
    }
    progress.stop();
    // 3. The threshold.
    const { normal, found, stored } = calibration.finish(checkpoint, options.alarmsPerDay);
    for (const line of calibrationLines(normal, found)) console.log(line);
    if (report !== undefined) {
      const page = join(report, "index.html");
      const title = `Threshold of ${basename(options.checkpoint)}`;
      const limit = scoreLimit(detector.settings);
      const shown = { title, created: stored.made, normal, found, limit, facts: facts(detector, stored.videos) };
      await writeFileAtomic(page, calibrationPage(shown));
      say(`report: ${page}`);
    }
    await file.write(`${JSON.stringify(stored, null, 1)}\n`);
    await file.commit();
    say(`kept in ${out}`);
    done = true;
  } finally {
    progress?.stop();
    // A run that failed leaves no new folder if it is empty.
    if (!done && madeFolder && report !== undefined) await rmdir(report).catch(() => undefined);
    await file?.discard();
    for (const source of sources) await source.close?.();
    detector?.close();
  }
}

/** Settings and versions, for the page. */
function facts(detector: Detector, videos: readonly string[]): Fact[] {
  const { frameScore, score, norm } = detector.settings;
  return [
    ["normal video", videos.join(", ")],
    ...modelFacts(detector),
    ["frame score", frameScoreText({ ...frameScore, rule: score }, norm)],
    ["events", alarmRuleText(usualAlarmRule)],
    ...machineFacts(detector),
  ];
}
