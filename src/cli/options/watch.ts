// Options about thresholds and alarms.
import { InvalidArgumentError, Option } from "commander";
import { numberIn } from "./parse.js";

/** What `score` writes beside scores, and the threshold for it. An option not given is absent. */
export interface WatchOptions {
  report?: string;
  video?: string;
  events?: string;
  threshold?: number;
  normal?: string;
  normalQuantile?: number;
  calibration?: string;
  fps?: number;
}

/** Frames per second of a folder of images if nothing says it. */
export const usualFps = 25;
/** Hours that a camera is watched for its calibration if nothing says it. */
export const usualHours = 1;
/** The quantile of --normal if nothing else is given. */
export const usualQuantile = 0.999;

/** The options behind {@link WatchOptions}. */
export function watchOptions(): Option[] {
  return [
    new Option("--report <dir>", "write a page into this folder: scores, pictures, events; one HTML file"),
    new Option("--video <file>", "write the video with its anomaly map, scores and boxes; the name ends in .mp4"),
    new Option("--events <file>", "write the events above the threshold; the name ends in .csv"),
    thresholdOption("an event begins when the score, averaged over half a second, reaches this").conflicts([
      "normal",
      "calibration",
    ]),
    new Option("--normal <video>", "take the threshold from a video in which nothing is abnormal").conflicts(
      "calibration",
    ),
    new Option(
      "--normal-quantile <q>",
      `share of the normal video below the threshold (default: ${usualQuantile})`,
    ).argParser(numberIn(0, 1)),
    new Option(
      "--calibration <file>",
      "take the threshold from a file that `calibrate` wrote (default: the one beside the checkpoint, if any)",
    ),
    fpsOption(),
  ];
}

/** `--threshold`, of scores that are not smoothed. */
export function thresholdOption(what: string): Option {
  return new Option("--threshold <t>", what).argParser(finite);
}

/** `--fps`, for what has no clock. */
export function fpsOption(usual = String(usualFps)): Option {
  return new Option("--fps <n>", `frames per second of a folder of images (default: ${usual})`).argParser(
    numberIn(0.001, 1000),
  );
}

function finite(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Give a number.");
  return value;
}
