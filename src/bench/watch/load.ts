// bench/watch.js: how many cameras a machine carries, with their clips and an open page.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Command, Option } from "commander";
import { adapterOption, deviceOf, robustOption } from "../../cli/options/device.js";
import { numberIn, parseSize, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { drawStreet } from "../../cli/outputs/street_video.js";
import { examples } from "../../cli/terminal/examples.js";
import { interruptible } from "../../cli/terminal/interrupt.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { versions } from "../../node/files/versions.js";
import type { Size } from "../../ops/resize.js";
import { type WatchFigure, watchPage } from "../../report/bench/watch.js";
import { configOf, type WatchConfig } from "../../server/config/config.js";
import { trainingScene } from "../../train/presets.js";
import type { Held } from "./messages.js";
import { PageClient } from "./page_client.js";
import { type ProcessesTaken, processesTaken } from "./processes.js";
import { WatchChild } from "./watch_child.js";

interface LoadOptions {
  cameras: number[];
  seconds: number;
  fps: number;
  source: Size;
  checkpoint: string;
  threshold: number;
  data: string;
  adapter?: string;
  robust?: boolean;
  json?: string;
  out?: string;
}

/** Streets that are drawn; more cameras show the same ones again. */
const STREETS = 4;
const FIRST_SEED = 7101;
/** Frames of a street, in which four things happen. */
const STREET_FRAMES = 600;
const kinds = ["bicycle", "cart", "bicycle", "cart"] as const;
/** Seconds until the figures count: kernels are compiled, streams have begun. */
const WARM_UP = 10;

/** `bench/watch.js` */
export function watchBenchCommand(): Command {
  return new Command("watch")
    .description(
      "Plays drawn streets as live cameras to `sdmae watch`, with clips and an open page, and measures scored frames, latencies, processors and memory.",
    )
    .addOption(
      new Option("--cameras <list>", "numbers of cameras, separated by commas")
        .default([1, 2, 4, 6], "1,2,4,6")
        .argParser((text) => text.split(",").map(wholeNumber(1, 20))),
    )
    .addOption(
      new Option("--seconds <s>", "how long to measure each number of cameras")
        .default(60)
        .argParser(numberIn(2, 36_000)),
    )
    .addOption(new Option("--fps <r>", "frames per second that are scored").default(5).argParser(numberIn(1, 30)))
    .addOption(
      new Option("--source <HxW>", "size of the cameras' pictures, height x width in pixels")
        .default({ height: 240, width: 360 }, "240x360")
        .argParser(parseSize),
    )
    .option("--checkpoint <file>", "the model", packageFile("models", "scene.safetensors"))
    .addOption(
      new Option("--threshold <t>", "from here on a level is an event").default(0.7).argParser(numberIn(0, 1e6)),
    )
    .option("--data <dir>", "folder for the drawn videos, which are kept", "sdmae-streets")
    .option("--out <file>", "write plots to a file, *.html")
    .option("--json <file>", "write the figures to a file")
    .addOption(adapterOption())
    .addOption(robustOption())
    .addHelpText("after", examples("node bench/watch.js --cameras 1,2,4 --seconds 120 --out watch.html"))
    .action((options: LoadOptions) => interruptible((signal) => load(options, signal)));
}

const columns: readonly Column[] = [
  ["cameras", 7],
  ["scored/s", 8],
  ["each", 5],
  ["dropped", 7],
  ["level p50", 9],
  ["p99, s", 6],
  ["events", 6],
  ["on disk p50", 11],
  ["p99, s", 6],
  ["page p50", 8],
  ["p99, s", 6],
  ["cores: supervisor", 17],
  ["engine", 6],
  ["ffmpeg", 6],
  ["MB: supervisor", 14],
  ["engine", 6],
  ["ffmpeg", 6],
];

async function load(options: LoadOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs(options);
  await makeFolder(options.data, `--data ${options.data}`);
  const most = Math.max(...options.cameras);
  const videos = await streets(options, Math.min(STREETS, most), signal);
  for (const line of tableHead(columns)) console.log(line);
  const results: WatchFigure[] = [];
  for (const cameras of options.cameras) {
    results.push(await measured(options, videos, cameras, signal));
    console.log(tableRow(columns, cells(results.at(-1)!)));
    await save(options, results, results.length === options.cameras.length);
  }
  for (const path of [options.json, options.out]) if (path !== undefined) console.log(`written  ${path}`);
}

/**
 * Draws the streets, unless an earlier run did. They pass frame by frame as the model learnt them,
 * so that it finds what happens at any rate.
 * @returns the paths of their videos
 */
async function streets(
  { data, source: size, fps: played }: LoadOptions,
  count: number,
  signal: AbortSignal,
): Promise<string[]> {
  const { fps } = trainingScene;
  const frames = STREET_FRAMES;
  const progress = new Progress("frames drawn", count * frames, false);
  try {
    const paths: string[] = [];
    for (let i = 0; i < count; i++) {
      const path = join(data, `camera-${FIRST_SEED + i}-${size.height}x${size.width}-${played}fps.mp4`);
      paths.push(path);
      if (await stat(path).catch(() => undefined)) progress.advance(frames);
      else {
        const street = { seed: FIRST_SEED + i, index: 1_000_000, frames, fps, played, size, anomalies: kinds };
        await drawStreet(path, street, () => progress.advance(), signal);
      }
    }
    return paths;
  } finally {
    progress.stop();
  }
}

/** An event: when its frame arrived, when it was on disk, and when the page heard of it. */
interface SeenEvent {
  arrived: number;
  kept: number;
  page?: number;
}

async function measured(
  options: LoadOptions,
  videos: readonly string[],
  cameras: number,
  signal: AbortSignal,
): Promise<WatchFigure> {
  const folder = await mkdtemp(join(tmpdir(), "sdmae-watch-"));
  const config = watchConfig(options, videos, cameras, join(folder, "data"));
  const job = {
    config,
    options: { checkpoint: [options.checkpoint], detector: deviceOf(options), play: { loop: true } },
  };
  const events = new Map<string, SeenEvent>();
  const onPage = new Map<string, number>();
  const { child, url } = await WatchChild.start(job, {
    onEvent: ({ id, arrived, kept }) => events.set(id, { arrived, kept }),
    onNotice: (line) => {
      if (!line.startsWith("info")) process.stderr.write(`${line}\n`);
    },
  });
  const page = new PageClient(
    url,
    config.cameras.map(({ id }) => id),
    (change, id) => {
      if (change === "new") onPage.set(id, Date.now());
    },
  );
  try {
    while ((await child.hold(false)).scored === 0) await pause(200, undefined, { signal });
    await pause(1000 * WARM_UP, undefined, { signal });
    events.clear();
    await child.latencies();
    const [before, began] = [await looked(child), performance.now()];
    await pause(1000 * options.seconds, undefined, { signal });
    const [after, seconds] = [await looked(child), (performance.now() - began) / 1000];
    const latencies = (await child.latencies()).flatMap((one) => one.latencies);
    for (const [id, event] of events) event.page = onPage.get(id);
    return figureOf(cameras, seconds, before, after, latencies, [...events.values()]);
  } finally {
    page.close();
    await child.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Look {
  held: Held;
  taken: ProcessesTaken | undefined;
}

async function looked(child: WatchChild): Promise<Look> {
  const held = await child.hold(false);
  return { held, taken: await processesTaken(child.pid, held.enginePids) };
}

function figureOf(
  cameras: number,
  seconds: number,
  before: Look,
  after: Look,
  latencies: readonly number[],
  events: readonly SeenEvent[],
): WatchFigure {
  const rate = (read: (held: Held) => number) => (read(after.held) - read(before.held)) / seconds;
  const { taken } = after;
  const cores = (part: keyof ProcessesTaken) =>
    taken && before.taken ? (taken[part].cpu - before.taken[part].cpu) / seconds : null;
  const bytes = (part: keyof ProcessesTaken) => taken?.[part].rss ?? null;
  const onPage = events.flatMap(({ arrived, page }) => (page === undefined ? [] : [(page - arrived) / 1000]));
  return {
    cameras,
    scored: rate(({ scored }) => scored),
    dropped: rate(({ dropped }) => dropped),
    level: percentiles(latencies),
    events: events.length,
    kept: percentiles(events.map(({ arrived, kept }) => (kept - arrived) / 1000)),
    page: percentiles(onPage),
    cores: { supervisor: cores("supervisor"), engine: cores("engine"), ffmpeg: cores("ffmpeg") },
    memory: { supervisor: bytes("supervisor"), engine: bytes("engine"), ffmpeg: bytes("ffmpeg") },
  };
}

/** Null without values. */
function percentiles(values: readonly number[]): { p50: number | null; p99: number | null } {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
  return { p50: at(0.5), p99: at(0.99) };
}

function watchConfig(
  { fps, threshold }: LoadOptions,
  videos: readonly string[],
  count: number,
  data: string,
): WatchConfig {
  const read = configOf([videos[0]]);
  const [camera] = read.cameras;
  const cameras = Array.from({ length: count }, (_, i) => ({
    ...{
      ...camera,
      id: `camera${i}`,
      source: videos[i % videos.length],
      fps,
      threshold: { day: threshold, infrared: threshold },
    },
    ...{ cooldown: 0 },
  }));
  return { ...read, cameras, data, web: { host: "127.0.0.1", port: 0 } };
}

const fixed = (value: number | null, digits = 2): string => (value === null ? "-" : value.toFixed(digits));

function cells({ cameras, scored, dropped, level, events, kept, page, cores, memory }: WatchFigure): string[] {
  const megabytes = (bytes: number | null) => fixed(bytes === null ? null : bytes / 1e6, 0);
  return [
    ...[String(cameras), scored.toFixed(1), (scored / cameras).toFixed(1), `${dropped.toFixed(1)}/s`],
    ...[fixed(level.p50), fixed(level.p99), String(events)],
    ...[fixed(kept.p50), fixed(kept.p99), fixed(page.p50), fixed(page.p99)],
    ...[cores.supervisor, cores.engine, cores.ffmpeg].map((share) => fixed(share)),
    ...[memory.supervisor, memory.engine, memory.ffmpeg].map(megabytes),
  ];
}

async function save(options: LoadOptions, results: readonly WatchFigure[], complete: boolean): Promise<void> {
  const { json, out, fps, source, seconds, checkpoint, threshold } = options;
  const date = new Date().toISOString();
  if (json !== undefined) {
    const how = { fps, source, seconds, checkpoint, threshold };
    await writeFileAtomic(
      json,
      `${JSON.stringify({ date, versions: versions(), ...how, complete, results }, null, 2)}\n`,
    );
  }
  if (out === undefined) return;
  const facts = Object.entries({
    ...{ "frames per second that are scored": String(fps), "size of pictures": `${source.height}x${source.width}` },
    ...{ "seconds per number of cameras": String(seconds), model: checkpoint, ...versions() },
  });
  const title = "SD-MAE, watched cameras";
  await writeFileAtomic(out, watchPage({ title, created: date, fps, figures: results, facts, complete }));
}
