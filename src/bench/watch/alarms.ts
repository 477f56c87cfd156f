// bench/alarms.js: how many alarms normal drawn streets raise once a threshold is learnt.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { adapterOption, deviceOf } from "../../cli/options/device.js";
import { numberIn, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { drawStreet } from "../../cli/outputs/street_video.js";
import { examples } from "../../cli/terminal/examples.js";
import { interruptible } from "../../cli/terminal/interrupt.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import { scoreSettings } from "../../detector/settings.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { packageFile } from "../../node/files/package_files.js";
import { versions } from "../../node/files/versions.js";
import { Decisions } from "../../server/camera/decisions.js";
import { configOf } from "../../server/config/config.js";
import { newEventId } from "../../server/event_log.js";
import { type ScoredVideo, scoreVideo } from "./scored_video.js";

interface AlarmsOptions {
  seeds: number[];
  minutes: number;
  fps: number;
  first: number[];
  rates: number[];
  checkpoint: string;
  data: string;
  adapter?: string;
  json?: string;
}

/** What a way of learning made of a street. */
export interface AlarmsFigure {
  seed: number;
  /** Minutes of video until the first threshold. */
  first: number;
  alarmsPerDay: number;
  /** After so many minutes of video there was a new threshold. */
  thresholds: { minutes: number; threshold: number; extrapolation: number }[];
  /** Minutes that were watched with a threshold. */
  watched: number;
  /** The highest level since there is a threshold. */
  highest: number;
  alarms: { minute: number; level: number; threshold: number; silent: boolean }[];
}

const size = { height: 240, width: 360 };
const list = (parse: (text: string) => number) => (text: string) => text.split(",").map(parse);

/** `bench/alarms.js` */
export function alarmsCommand(): Command {
  return new Command("alarms")
    .description(
      "Draws a normal street, plays it fast through the capture, the engine and the decisions of `sdmae watch`, and counts the alarms that it raises once there is a threshold.",
    )
    .addOption(
      new Option("--seeds <list>", "seeds of the streets, separated by commas")
        .default([7103], "7103")
        .argParser(list(wholeNumber(0))),
    )
    .addOption(new Option("--minutes <n>", "minutes of each street").default(60).argParser(numberIn(2, 24 * 60)))
    .addOption(
      new Option("--fps <r>", "frames per second that are scored; the bundled model has learnt 10")
        .default(10)
        .argParser(numberIn(1, 30)),
    )
    .addOption(
      new Option("--first <list>", "minutes until the first threshold; each is tried")
        .default([10, 2], "10,2")
        .argParser(list(numberIn(1, 24 * 60))),
    )
    .addOption(
      new Option("--rates <list>", "alarms per day that are accepted; each is tried")
        .default([1, 10], "1,10")
        .argParser(list(numberIn(0.001, 1e5))),
    )
    .option("--checkpoint <file>", "the model", packageFile("models", "scene.safetensors"))
    .option("--data <dir>", "folder for the drawn videos, which are kept", "sdmae-streets")
    .option("--json <file>", "write the figures, and the score of each frame, to a file")
    .addOption(adapterOption())
    .addHelpText("after", examples("node bench/alarms.js --seeds 7103,7104,7105 --json alarms.json"))
    .action((options: AlarmsOptions) => interruptible((signal) => alarms(options, signal)));
}

const columns: readonly Column[] = [
  ["street", 6],
  ["first, min", 10],
  ["per day", 7],
  ["thresholds", -34],
  ["highest level", 13],
  ["watched, min", 12],
  ["alarms", 6],
  ["silent", 6],
];

async function alarms(options: AlarmsOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs(options);
  const { checkpoint, seeds, data, fps, minutes } = options;
  const settings = scoreSettings(await readCheckpoint([checkpoint]));
  await makeFolder(data, `--data ${data}`);
  for (const line of tableHead(columns)) console.log(line);
  const results: AlarmsFigure[] = [];
  const scores: Record<number, number[]> = {};
  const speeds: Record<number, number> = {};
  for (const seed of seeds) {
    const path = await street(options, seed, signal);
    const video = {
      ...{ path, fps, checkpoint, detector: deviceOf(options) },
      size: { width: 2 * settings.size.width, height: 2 * settings.size.height },
      onNotice: (line: string) => process.stderr.write(`${line}\n`),
    };
    const found = await watchStreet(video, seed, options, signal);
    for (const figure of found.figures) console.log(tableRow(columns, cells(figure)));
    results.push(...found.figures);
    scores[seed] = found.scores;
    speeds[seed] = found.speed;
    if (options.json === undefined) continue;
    const report = { date: new Date().toISOString(), versions: versions(), fps, minutes, results, speeds, scores };
    await writeFileAtomic(options.json, `${JSON.stringify(report)}\n`);
  }
}

function cells({ seed, first, alarmsPerDay, thresholds, highest, watched, alarms }: AlarmsFigure): string[] {
  const silent = alarms.filter((one) => one.silent).length;
  return [
    ...[String(seed), String(first), String(alarmsPerDay)],
    thresholds.map(({ minutes, threshold }) => `${threshold.toFixed(3)} (${minutes.toFixed(0)})`).join(" "),
    ...[highest.toFixed(3), watched.toFixed(0), String(alarms.length - silent), String(silent)],
  ];
}

/** Draws a street, unless an earlier run did. @returns its video's path */
async function street({ data, fps, minutes }: AlarmsOptions, seed: number, signal: AbortSignal): Promise<string> {
  const path = join(data, `street-${seed}-${minutes}min-${fps}fps.mp4`);
  if (await stat(path).catch(() => undefined)) return path;
  const frames = Math.round(60 * minutes * fps);
  const progress = new Progress("frames drawn", frames, false);
  try {
    const what = { seed, index: 0, frames, fps, size, anomalies: "none" } as const;
    await drawStreet(path, what, () => progress.advance(), signal);
  } finally {
    progress.stop();
  }
  return path;
}

/** Scores a street once, and decides in each way of learning. */
async function watchStreet(video: ScoredVideo, seed: number, options: AlarmsOptions, signal: AbortSignal) {
  const { first, rates, minutes, fps } = options;
  const ways = first.flatMap((minute) => rates.map((rate) => new Way(video.path, seed, minute, rate)));
  const scores: number[] = [];
  const progress = new Progress("frames scored", Math.round(60 * minutes * fps), false, true);
  const began = performance.now();
  try {
    await scoreVideo(
      video,
      Date.parse("2026-01-01T12:00:00Z"),
      {
        ready: (settings) => {
          for (const { decisions } of ways) decisions.ready(settings);
        },
        frame: (...frame) => {
          for (const { decisions } of ways) decisions.frame(...frame);
        },
        score: (score) => {
          scores.push(score.score);
          for (const way of ways) way.score(score);
          progress.advance();
        },
      },
      signal,
    );
  } finally {
    progress.stop();
  }
  const speed = scores.length / ((performance.now() - began) / 1000);
  return { figures: ways.map(({ figure }) => figure), scores, speed };
}

/** A camera that learns in one way. */
class Way {
  readonly figure: AlarmsFigure;
  readonly decisions: Decisions;
  private seconds = 0;

  constructor(source: string, seed: number, first: number, alarmsPerDay: number) {
    const figure = { seed, first, alarmsPerDay, thresholds: [], watched: 0, highest: 0, alarms: [] } as AlarmsFigure;
    this.figure = figure;
    const [camera] = configOf([source]).cameras;
    this.decisions = new Decisions(
      { ...camera, alarmsPerDay },
      {
        newId: newEventId,
        learnFirst: 60 * first,
        learnt: (_, { seconds, threshold, extrapolation }) =>
          void figure.thresholds.push({ minutes: seconds / 60, threshold, extrapolation }),
        emit: (change, { kind, peak, threshold, silent }) => {
          if (change !== "end" || kind !== "anomaly") return;
          const level = peak?.level ?? Number.NaN;
          const minute = this.seconds / 60;
          figure.alarms.push({ minute, level, threshold: threshold ?? Number.NaN, silent: silent ?? false });
        },
      },
    );
    this.decisions.connected(0);
  }

  score(score: Parameters<Decisions["score"]>[0]): void {
    const outcome = this.decisions.score(score);
    if (!outcome) return;
    const { figure } = this;
    const { steady } = outcome.time;
    if (outcome.threshold !== undefined) {
      figure.watched += (steady - this.seconds) / 60;
      if (outcome.level > figure.highest) figure.highest = outcome.level;
    }
    this.seconds = steady;
  }
}
