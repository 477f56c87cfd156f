// bench/archive.js: what scoring videos through a NATS server costs, against scoring them alone.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Command, Option } from "commander";
import { adapterOption, robustOption } from "../../cli/options/device.js";
import { wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { drawStreet } from "../../cli/outputs/street_video.js";
import { examples } from "../../cli/terminal/examples.js";
import { interruptible } from "../../cli/terminal/interrupt.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import { openArchive, submitVideo } from "../../cluster/archive.js";
import { type Cluster, withCluster } from "../../cluster/connection.js";
import { hashOf, putModel } from "../../cluster/models.js";
import { Scorer } from "../../cluster/scorer.js";
import { waitForVideos } from "../../cluster/waiting.js";
import { endProcess } from "../../node/end_process.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { versions } from "../../node/files/versions.js";
import { startLocalNats } from "../../node/local_nats.js";
import { trainingScene } from "../../train/presets.js";

interface ArchiveBenchOptions {
  videos: number;
  frames: number;
  workers: number;
  checkpoint: string;
  adapter?: string;
  robust?: boolean;
  json?: string;
}

const FIRST_SEED = 7201;
const VIDEO = 1_000_000;
const size = { height: 240, width: 360 };

/** `bench/archive.js` */
export function archiveBenchCommand(): Command {
  return new Command("archive")
    .description(
      "Scores drawn videos three times: by the process that scores alone, by one worker of a real NATS server on this machine, and by several; and compares the times. Compiling is not counted.",
    )
    .addOption(new Option("--videos <n>", "videos").default(8).argParser(wholeNumber(2, 1000)))
    .addOption(
      new Option("--frames <n>", `frames of a video; at ${trainingScene.fps} per second, 600 are a minute`)
        .default(600)
        .argParser(wholeNumber(10, 100_000)),
    )
    .addOption(new Option("--workers <n>", "workers of the last run").default(2).argParser(wholeNumber(1, 16)))
    .option("-c, --checkpoint <file>", "the model", packageFile("models", "scene.safetensors"))
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("--json <file>", "write the figures to a file")
    .addHelpText("after", examples("node bench/archive.js --videos 4 --frames 300"))
    .action((options: ArchiveBenchOptions) => interruptible((signal) => archive(options, signal)));
}

const columns: readonly Column[] = [
  ["videos are scored by", -26],
  ["seconds", 8],
  ["per video", 10],
  ["against alone", 14],
];

async function archive(options: ArchiveBenchOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs(options);
  const folder = await mkdtemp(join(tmpdir(), "sdmae-archive-"));
  try {
    const videos = await draw(folder, options, signal);
    const rows: { by: string; seconds: number }[] = [];
    for (const line of tableHead(columns)) console.log(line);
    const add = (by: string, seconds: number) => {
      rows.push({ by, seconds });
      const change = 100 * (seconds / rows[0].seconds - 1);
      const against = rows.length === 1 ? "" : `${change < 0 ? "" : "+"}${change.toFixed(1)} %`;
      console.log(tableRow(columns, [by, seconds.toFixed(1), (seconds / videos.length).toFixed(2), against]));
    };
    add("one process, no server", await alone(folder, videos, options, signal));
    const server = await startLocalNats(join(folder, "nats"));
    try {
      for (const workers of new Set([1, options.workers])) {
        const by = `${workers} worker${workers === 1 ? "" : "s"} of a server`;
        const run = (cluster: Cluster) =>
          throughServer(cluster, { folder, url: server.url, videos, workers }, options, signal);
        add(by, await withCluster({ url: server.url }, run));
      }
    } finally {
      await server.close("SIGKILL");
    }
    if (options.json === undefined) return;
    const report = { date: new Date().toISOString(), versions: versions(), ...options, rows };
    await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
    console.log(`written  ${options.json}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns the videos' names in the folder */
async function draw(
  folder: string,
  { videos, frames }: ArchiveBenchOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names = Array.from({ length: videos }, (_, i) => `${i + 1}.mp4`);
  const progress = new Progress("frames drawn", videos * frames, false);
  try {
    for (const [i, name] of names.entries()) {
      const street = { seed: FIRST_SEED + i, index: VIDEO, frames, fps: trainingScene.fps, size };
      await drawStreet(join(folder, name), { ...street, anomalies: ["bicycle"] }, () => progress.advance(), signal);
    }
  } finally {
    progress.stop();
  }
  return names;
}

/** Seconds that the process needs which scores for workers, without a server. */
async function alone(
  folder: string,
  videos: readonly string[],
  { checkpoint, adapter, robust }: ArchiveBenchOptions,
  signal: AbortSignal,
): Promise<number> {
  const scorer = new Scorer(packageFile("dist", "scorer.js"), [JSON.stringify({ adapter, robust, tune: true })]);
  await makeFolder(join(folder, "alone"));
  const score = (name: string) => {
    const [input, scores] = [join(folder, name), join(folder, "alone", `${name}.csv`)];
    return scorer.score({ input, checkpoint, how: { seed: 0 }, scores }, signal, () => {});
  };
  try {
    await score(videos[0]);
    const since = performance.now();
    for (const name of videos) await score(name);
    return (performance.now() - since) / 1000;
  } finally {
    await scorer.close();
  }
}

/** What workers are to score. */
interface ServerRun {
  folder: string;
  url: string;
  videos: readonly string[];
  workers: number;
}

/** Seconds from the submission of videos until workers have scored all. */
async function throughServer(
  cluster: Cluster,
  { folder, url, videos, workers }: ServerRun,
  { checkpoint, adapter, robust }: ArchiveBenchOptions,
  signal: AbortSignal,
): Promise<number> {
  const model = await putModel(cluster.models, checkpoint);
  const hashes = await Promise.all(videos.map((name) => hashOf(join(folder, name), signal)));
  /** @returns seconds until the server knew that the last one was done */
  const submit = async (out: string, count: number): Promise<number> => {
    const began = Date.now();
    await makeFolder(join(folder, out));
    const plan = { model, how: { seed: 0 }, out, events: false, report: false };
    const opened = await openArchive(cluster, plan);
    const chosen = hashes.slice(0, count);
    for (const [i, hash] of chosen.entries()) {
      await submitVideo(cluster, opened, { hash, path: videos[i] }, { share: folder, retry: false });
    }
    // Looking often would take time from the workers.
    const waiting = { archive: opened.id, hashes: new Set(chosen), signal, onLook: () => {} };
    const records = await waitForVideos(cluster, waiting);
    const failed = records.find(({ state }) => state === "failed");
    if (failed) throw new Error(`${failed.path}: ${failed.error}`);
    const entries = await Promise.all(chosen.map((hash) => cluster.videos.get(`${opened.id}.${hash}`)));
    return (Math.max(...entries.map((entry) => entry!.created.getTime())) - began) / 1000;
  };
  const device = [...(adapter === undefined ? [] : ["--adapter", adapter]), ...(robust ? ["--robust"] : [])];
  const own = (i: number) => ["--data", join(folder, `${workers}-${i}`), "--models", join(folder, "models")];
  const children: ChildProcess[] = [];
  try {
    for (let i = 0; i < workers; i++) {
      const args = ["worker", "--nats", url, "--share", folder, "--cameras", "0", ...own(i), ...device];
      children.push(await startWorker(args, signal));
    }
    // All are free, so each takes one, and compiles.
    await submit(`${workers}-first`, workers);
    return await submit(`${workers}-scores`, videos.length);
  } finally {
    for (const child of children) await endProcess(child, "SIGINT");
  }
}

/** Starts a worker, and waits until it takes videos. @throws Error if it ends before */
async function startWorker(args: readonly string[], signal: AbortSignal): Promise<ChildProcess> {
  const program = packageFile("tools", "sdmae.js");
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  process.once("exit", () => child.kill("SIGKILL"));
  let last = "";
  const lines = createInterface({ input: child.stderr });
  const isThere = new Promise<void>((resolve, reject) => {
    lines.on("line", (line) => {
      last = line;
      if (line.startsWith("worker ")) resolve();
    });
    child.once("exit", () => reject(new Error(`a worker ended: ${last}`)));
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    await isThere;
    return child;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}
