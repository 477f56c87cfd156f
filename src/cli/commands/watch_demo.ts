import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { makeFolder } from "../../node/files/atomic.js";
import { trainingScene } from "../../train/presets.js";
import { adapterOption, type DeviceOptions } from "../options/device.js";
import { wholeNumber } from "../options/parse.js";
import { drawStreet } from "../outputs/street_video.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

interface WatchDemoOptions extends DeviceOptions {
  data: string;
  port: number;
}

/** Names of the drawn cameras, and seeds of their streets, which no model has learnt from. */
const cameras = [
  { name: "north", seed: 7101, anomalies: ["bicycle"] },
  { name: "south", seed: 7102, anomalies: ["cart"] },
] as const;
/** Which of a street's videos is shown. */
const VIDEO = 1_000_000;
/** Frames of a street, which is then played again. */
const frames = 150;
const size = { height: 240, width: 360 };
/** Between what is normal in these two streets and what is not. */
const threshold = 0.7;
const { fps } = trainingScene;

/** `watch-demo`: watches two drawn cameras, and serves the page. */
export function watchDemoCommand(): Command {
  return new Command("watch-demo")
    .summary("watch two drawn cameras, and show the page")
    .description(
      `Draws two streets of ${frames / fps} seconds, in each of which something abnormal happens, plays them as cameras again and again, and watches them with the bundled model until Ctrl-C.`,
    )
    .option("--data <dir>", "folder for the videos, events and clips", "sdmae-watch-demo")
    .addOption(
      new Option("--port <n>", "port of the page; 0: any free one").default(8377).argParser(wholeNumber(0, 65_535)),
    )
    .addOption(adapterOption())
    .action((options: WatchDemoOptions) => interruptible((signal) => watchDemo(options, signal)));
}

async function watchDemo({ data, port, ...device }: WatchDemoOptions, signal: AbortSignal): Promise<void> {
  const { configOf } = await import("../../server/config/config.js");
  const { watchWith } = await import("../watch_session.js");
  await makeFolder(data, `--data ${data}`);
  const videos = await draw(data, signal);
  const config = configOf(videos);
  const watched = config.cameras.map((camera) => ({
    ...camera,
    threshold: { day: threshold, infrared: threshold },
    fps,
  }));
  const web = { host: "127.0.0.1", port };
  await watchWith({ ...config, cameras: watched, data, web }, { ...device, loop: true }, signal);
}

/** Draws the streets, unless an earlier demo did. @returns the paths of their videos */
async function draw(folder: string, signal: AbortSignal): Promise<string[]> {
  const progress = new Progress("frames drawn", cameras.length * frames, false);
  try {
    const paths: string[] = [];
    for (const { name, seed, anomalies } of cameras) {
      const path = join(folder, `${name}-${seed}.mp4`);
      paths.push(path);
      if (await stat(path).catch(() => undefined)) progress.advance(frames);
      else {
        const street = { seed, index: VIDEO, frames, fps, size, anomalies };
        await drawStreet(path, street, () => progress.advance(), signal);
      }
    }
    return paths;
  } finally {
    progress.stop();
  }
}
