// bench/endurance.js: a day of cameras, played fast, and whether anything grows meanwhile.
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { saveCheckpoint } from "../../checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../checkpoint/fresh.js";
import { CheckFailed } from "../../cli/check_failed.js";
import { numberIn, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { examples } from "../../cli/terminal/examples.js";
import { interruptible } from "../../cli/terminal/interrupt.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import { paperConfig } from "../../model/config.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { versions } from "../../node/files/versions.js";
import { findFfmpeg, startFfmpeg } from "../../node/media/ffmpeg.js";
import { configOf, type WatchConfig } from "../../server/config/config.js";
import { type Growth, growthOf } from "./growth.js";
import { idleEngine } from "./idle_engine.js";
import type { Held } from "./messages.js";
import { PageClient } from "./page_client.js";
import { WatchChild } from "./watch_child.js";

/** What is run. */
export interface EnduranceJob {
  /** Hours of video of each camera. */
  hours: number;
  cameras: number;
  fps: number;
  /** Seconds of the file that is played again and again. */
  file: number;
  /** Open pages. */
  pages: number;
  /** Bytes of clips that are kept. */
  quota: number;
  /** Times that everything is counted. */
  samples: number;
  /** Program of the watch process; default: the package's. */
  program?: string;
}

/** What was counted at a moment. */
export interface EnduranceSample extends Omit<Held, "enginePids"> {
  /** Files and bytes in the data folder, without the event log. */
  files: number;
  bytes: number;
  /** Bytes of the event log, which is kept for ever. */
  log: number;
  clips: number;
}

/** What came of it. */
export interface EnduranceResult {
  frames: number;
  dropped: number;
  seconds: number;
  /** Lines of the event log. */
  changes: number;
  pictureBytes: number;
  growth: Record<Watched, Growth>;
  samples: EnduranceSample[];
  notices: string[];
}

/** What must not grow, and by how much it may. */
const allowed = {
  // Node returns memory late.
  rss: 24 * 2 ** 20,
  heap: 2 * 2 ** 20,
  // Levels of which cameras learn: 4 bytes per frame, up to a day; the list doubles.
  external: 6 * 2 ** 20,
  handles: 8,
  resources: 8,
  files: 40,
  bytes: 8e6,
};
type Watched = keyof typeof allowed;

/** The smallest network: it is read, but never run. */
const config = { ...paperConfig, patch: 8, encoderWidth: 32, decoderWidth: 16 };
const size = { width: 96, height: 64 };

/**
 * Plays a file in a loop to cameras as fast as it is taken, with an engine that computes nothing,
 * recording, clips, a quota that is reached, and open pages.
 * @param onFrames hears how many frames came
 * @throws InputError if the process fails, the signal's reason
 */
export async function endure(
  job: EnduranceJob,
  signal: AbortSignal,
  onFrames: (frames: number) => void = () => {},
): Promise<EnduranceResult> {
  const folder = await mkdtemp(join(tmpdir(), "sdmae-endurance-"));
  try {
    return await run(job, folder, signal, onFrames);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(job: EnduranceJob, folder: string, signal: AbortSignal, onFrames: (frames: number) => void) {
  const total = Math.round(3600 * job.hours * job.fps * job.cameras);
  const checkpoint = join(folder, "tiny.safetensors");
  const engine = join(folder, "engine.mjs");
  await writeFile(checkpoint, saveCheckpoint(freshCheckpoint(config)));
  await writeFile(engine, idleEngine);
  const video = await testVideo(join(folder, "video.mp4"), job);
  const notices: string[] = [];
  const watched = watchConfig(job, video, join(folder, "data"));
  const options = {
    checkpoint: [checkpoint],
    detector: { size: { height: 32, width: 48 } },
    ...{ play: { loop: true, fast: true }, engine: { program: engine } },
  };
  const onNotice = (line: string) => {
    if (notices.length < 1000) notices.push(line);
  };
  const { child, url } = await WatchChild.start({ config: watched, options }, { onNotice }, job.program);
  const ids = watched.cameras.map(({ id }) => id);
  const pages = Array.from({ length: job.pages }, () => new PageClient(url, ids));
  const samples: EnduranceSample[] = [];
  const began = performance.now();
  try {
    for (let due = total / job.samples; ; ) {
      signal.throwIfAborted();
      const { frames } = await child.hold(false);
      onFrames(frames);
      if (frames >= due) {
        const { enginePids: _, ...held } = await child.hold(true);
        samples.push({ ...held, ...(await stored(watched.data)) });
        due = Math.min(total, held.frames + total / job.samples);
      }
      if (frames >= total) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const seconds = (performance.now() - began) / 1000;
    const { frames, dropped } = samples.at(-1)!;
    const sum = (read: (page: PageClient) => number) => pages.reduce((all, page) => all + read(page), 0);
    return {
      // What is said when it is stopped in the middle of an event is no part of the run.
      ...{ frames, dropped, seconds, samples, notices: [...notices] },
      changes: sum(({ counts }) => counts.changes) / Math.max(1, pages.length),
      pictureBytes: sum(({ counts }) => counts.pictureBytes),
      growth: growthIn(samples),
    };
  } finally {
    for (const page of pages) page.close();
    await child.stop();
  }
}

function growthIn(samples: readonly EnduranceSample[]): EnduranceResult["growth"] {
  const names = Object.keys(allowed) as Watched[];
  const found = names.map((name) => {
    const values = samples.map((sample) => ({ frames: sample.frames, value: sample[name] }));
    return [name, growthOf(values, allowed[name])];
  });
  return Object.fromEntries(found) as EnduranceResult["growth"];
}

/** The first camera has a threshold and so its events; the others learn. */
function watchConfig({ cameras, fps, quota }: EnduranceJob, video: string, data: string): WatchConfig {
  const read = configOf([video]);
  const [camera] = read.cameras;
  const all = Array.from({ length: cameras }, (_, i) => ({
    ...{ ...camera, id: `camera${i}`, fps, cooldown: 0, clip: { before: 1, after: 1 } },
    threshold: i === 0 ? { day: 0.5 } : {},
  }));
  const web = { host: "127.0.0.1", port: 0 };
  return { ...read, cameras: all, web, data, keep: { days: 30, bytes: quota } };
}

/** A moving test picture with a key frame each second. */
async function testVideo(path: string, { fps, file }: EnduranceJob): Promise<string> {
  const input = ["-f", "lavfi", "-i", `testsrc=size=${size.width}x${size.height}:rate=${fps}`];
  const output = ["-frames:v", String(Math.round(fps * file)), "-g", String(Math.round(fps)), "-pix_fmt", "yuv420p"];
  const args = ["-v", "repeat+level+error", ...input, ...output, "-c:v", "libx264", "-y", `file:${path}`];
  const { child, ended } = startFfmpeg(await findFfmpeg(), args);
  child.stdout.resume();
  await ended;
  return path;
}

/** What is in the data folder. Files may go while they are counted. */
async function stored(data: string): Promise<Pick<EnduranceSample, "files" | "bytes" | "log" | "clips">> {
  const found = { files: 0, bytes: 0, log: 0, clips: 0 };
  for (const name of await readdir(data, { recursive: true })) {
    const info = await stat(join(data, name)).catch(() => undefined);
    if (!info?.isFile()) continue;
    if (name.endsWith(".jsonl")) found.log += info.size;
    else {
      found.files++;
      found.bytes += info.size;
    }
    if (name.startsWith("clips")) found.clips += info.size;
  }
  return found;
}

interface EnduranceOptions extends Omit<EnduranceJob, "program"> {
  json?: string;
}

/** `bench/endurance.js` */
export function enduranceCommand(): Command {
  return new Command("endurance")
    .description(
      "Plays a day of cameras as fast as it goes through capture, decisions, events, clips, quota and page, with an engine that computes nothing, and says whether memory, handles or files grow.",
    )
    .addOption(new Option("--hours <h>", "hours of video").default(24).argParser(numberIn(0.1, 1000)))
    .addOption(
      new Option("--cameras <n>", "cameras; the first has a threshold, the others learn")
        .default(1)
        .argParser(wholeNumber(1, 16)),
    )
    .addOption(new Option("--fps <r>", "frames per second").default(5).argParser(numberIn(1, 30)))
    .addOption(
      new Option("--file <s>", "seconds of the file that is played again and again")
        .default(1200)
        .argParser(numberIn(5, 36_000)),
    )
    .addOption(new Option("--pages <n>", "open pages").default(2).argParser(wholeNumber(0, 10)))
    .addOption(new Option("--quota <bytes>", "bytes of clips that are kept").default(2e6).argParser(wholeNumber(1e5)))
    .addOption(
      new Option("--samples <n>", "times that everything is counted").default(48).argParser(wholeNumber(8, 1000)),
    )
    .option("--json <file>", "write the figures to a file")
    .addHelpText("after", examples("node bench/endurance.js --hours 24 --json endurance.json"))
    .action((options: EnduranceOptions) => interruptible((signal) => endurance(options, signal)));
}

const columns: readonly Column[] = [
  ["", -18],
  ["middle", 10],
  ["last quarter", 12],
  ["per 100,000 frames", 18],
  ["", -5],
];

async function endurance({ json, ...job }: EnduranceOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs({ json });
  const total = Math.round(3600 * job.hours * job.fps * job.cameras);
  const progress = new Progress("frames", total, false);
  let seen = 0;
  let result: EnduranceResult;
  try {
    result = await endure(job, signal, (frames) => {
      progress.advance(frames - seen);
      seen = frames;
    });
  } finally {
    progress.stop();
  }
  const { frames, dropped, seconds, changes, growth, samples } = result;
  const { cpu } = samples.at(-1)!;
  console.log(`frames   ${frames}, ${dropped} dropped, ${(frames / seconds).toFixed(0)} frames/s`);
  console.log(`cpu      ${((1000 * cpu) / frames).toFixed(2)} ms of the watch process per frame`);
  console.log(`changes  ${changes} of events; the event log has ${samples.at(-1)!.log} bytes`);
  for (const line of tableHead(columns)) console.log(line);
  for (const [name, found] of Object.entries(growth)) console.log(tableRow(columns, cells(name as Watched, found)));
  if (json !== undefined) {
    const report = { date: new Date().toISOString(), versions: versions(), job, ...result };
    await writeFileAtomic(json, `${JSON.stringify(report, null, 1)}\n`);
    console.log(`written  ${json}`);
  }
  const grown = Object.entries(growth).flatMap(([name, { isFlat }]) => (isFlat ? [] : [name]));
  if (grown.length > 0) throw new CheckFailed(`grows: ${grown.join(", ")}`);
}

const names: Record<Watched, string> = {
  rss: "memory, MB",
  heap: "heap, MB",
  external: "beside heap, MB",
  handles: "open files",
  resources: "timers, sockets, …",
  files: "files on disk",
  bytes: "on disk, MB",
};

function cells(name: Watched, { middle, last, per100k, isFlat }: Growth): string[] {
  const isBytes = names[name].endsWith("MB");
  const shown = (value: number) => (isBytes ? (value / 1e6).toFixed(2) : value.toFixed(0));
  const more = isBytes ? (per100k / 1e6).toFixed(3) : per100k.toFixed(2);
  return [names[name], shown(middle), shown(last), more, isFlat ? "flat" : "grows"];
}
