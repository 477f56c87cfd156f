import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, Option } from "commander";
import type { Overview } from "../../cluster/cameras/overview.js";
import type { Cluster } from "../../cluster/connection.js";
import { endProcess } from "../../node/end_process.js";
import { makeFolder } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { freePort, startLocalNats } from "../../node/local_nats.js";
import { trainingScene } from "../../train/presets.js";
import { adapterOption } from "../options/device.js";
import { wholeNumber } from "../options/parse.js";
import { drawStreet } from "../outputs/street_video.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

interface ClusterDemoOptions {
  data: string;
  port: number;
  adapter?: string;
  /** Ends by itself once all has been shown. */
  once?: boolean;
}

const workers = ["one", "two", "three"] as const;
/** The worker that is killed. */
const victim = "two";
/** The cameras' streets, and what happens in them; no model has learnt from these seeds. */
const cameras = [
  { id: "north", seed: 7101, anomalies: ["bicycle"] },
  { id: "south", seed: 7102, anomalies: ["cart"] },
  { id: "east", seed: 7106, anomalies: ["runner"] },
  { id: "west", seed: 7107, anomalies: ["bicycle"] },
  { id: "gate", seed: 7108, anomalies: ["cart"] },
  { id: "yard", seed: 7109, anomalies: ["bicycle"] },
] as const;
const videos = 20;
/** Frames of a camera's street, which is played again and again, and of a video of the archive. */
const frames = { camera: 120, video: 40 };
const size = { height: 240, width: 360 };
/** Cameras show every second of their street in five, so that two CPU cores carry all of them. */
const played = 2;
const { fps } = trainingScene;
/** Which of a street's videos is drawn. */
const VIDEO = 1_000_000;
/** Seconds of a lease, and that all workers run before one of them is killed. */
const LEASE = 8;
const TOGETHER = 20;

/** `cluster-demo`: three workers share cameras and an archive, and one of them is killed. */
export function clusterDemoCommand(): Command {
  return new Command("cluster-demo")
    .summary("let three workers share six drawn cameras and an archive, and kill one of them")
    .description(
      `Draws six cameras and ${videos} videos, starts a NATS server (nats-server of the PATH) and three workers on this machine, and shows on one page what all cameras see. After a while one worker is killed: the others take its cameras and its video over. Ctrl-C ends all.`,
    )
    .option("--data <dir>", "folder for the videos, events, clips and scores", "sdmae-cluster-demo")
    .addOption(
      new Option("--port <n>", "port of the page; 0: any free one").default(8377).argParser(wholeNumber(0, 65_535)),
    )
    .addOption(adapterOption())
    .addOption(new Option("--once", "end when the archive is scored and the cameras are taken over").hideHelp())
    .action((options: ClusterDemoOptions) => interruptible((signal) => clusterDemo(options, signal)));
}

async function clusterDemo(options: ClusterDemoOptions, signal: AbortSignal): Promise<void> {
  const data = resolve(options.data);
  const share = join(data, "share");
  await makeFolder(share, `--data ${options.data}`);
  // Begins anew each time; what was drawn is kept.
  for (const old of [join(data, "nats"), join(share, "scores")]) await rm(old, { recursive: true, force: true });
  const server = await startLocalNats(join(data, "nats"));
  const running = new Map<string, ChildProcess>();
  try {
    await draw(share, signal);
    const sdmae = (...args: string[]) => run([...args, "--nats", server.url, "--share", share], signal);
    const config = join(data, "cameras.yaml");
    await writeFile(config, configText());
    await sdmae("cameras", "put", config);
    await sdmae(
      "submit",
      join(share, "archive"),
      "--checkpoint",
      packageFile("models", "scene.safetensors"),
      "--out",
      join(share, "scores"),
    );
    const port = options.port === 0 ? await freePort() : options.port;
    for (const [i, name] of workers.entries()) {
      const own = ["--data", join(data, name), "--name", name, "--port", i === 0 ? String(port) : "0"];
      const how = ["--lease", String(LEASE), "--cameras", String(cameras.length), "--loop"];
      const adapter = options.adapter === undefined ? [] : ["--adapter", options.adapter];
      running.set(name, start(name, ["worker", "--nats", server.url, "--share", share, ...own, ...how, ...adapter]));
    }
    say(`page: http://127.0.0.1:${port}/`);
    const { withCluster } = await import("../../cluster/connection.js");
    await withCluster({ url: server.url }, (cluster) => show(cluster, running, options, signal));
  } finally {
    await Promise.all([...running.values()].map((child) => endProcess(child, "SIGINT")));
    await server.close();
  }
  signal.throwIfAborted();
}

const configText = (): string => {
  const lines = cameras.map(({ id }) => `  ${id}: { source: share/${id}.mp4 }`);
  return [
    "# Made by sdmae cluster-demo.",
    `defaults: { fps: ${played}, threshold: 0.7 }`,
    "cameras:",
    ...lines,
    "",
  ].join("\n");
};

/** Draws the streets, unless an earlier demo did. */
async function draw(share: string, signal: AbortSignal): Promise<void> {
  await makeFolder(join(share, "archive"));
  const all = cameras.length * frames.camera + videos * frames.video;
  const progress = new Progress("frames drawn", all, false);
  const one = async (path: string, street: Parameters<typeof drawStreet>[1]) => {
    if (await stat(path).catch(() => undefined)) progress.advance(street.frames);
    else await drawStreet(path, street, () => progress.advance(), signal);
  };
  try {
    for (const { id, seed, anomalies } of cameras) {
      const street = { seed, index: VIDEO, frames: frames.camera, fps, played, size, anomalies };
      await one(join(share, `${id}.mp4`), street);
    }
    for (let i = 1; i <= videos; i++) {
      const street = { seed: 7200 + i, index: VIDEO, frames: frames.video, fps, size, anomalies: ["bicycle"] as const };
      await one(join(share, "archive", `${String(i).padStart(2, "0")}.mp4`), street);
    }
  } finally {
    progress.stop();
  }
}

const program = packageFile("tools", "sdmae.js");

/** Runs a command to its end. @throws Error if it fails */
async function run(args: readonly string[], signal: AbortSignal): Promise<void> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "inherit", "inherit"], signal });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`sdmae ${args[0]} ended with code ${code}`);
}

/** Starts a worker, whose lines begin with its name. */
function start(name: string, args: readonly string[]): ChildProcess {
  // Ctrl-C ends the demonstration, which ends its workers.
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  child.on("error", () => {});
  process.once("exit", () => child.kill("SIGINT"));
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) say(`${name.padEnd(5)} ${line}`);
    });
  }
  return child;
}

/** Says how it goes, and kills a worker. */
async function show(
  cluster: Cluster,
  running: ReadonlyMap<string, ChildProcess>,
  { once: isShort }: ClusterDemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const { overviewOf } = await import("../../cluster/cameras/overview.js");
  const { progressOf } = await import("../../cluster/archive.js");
  const isWatched = ({ cameras: all }: Overview) => all.every(({ worker }) => worker !== undefined);
  await until(async () => isWatched(await overviewOf(cluster)), signal);
  say(`demo  all ${cameras.length} cameras are watched; in ${TOGETHER} s the worker ${victim} is killed`);
  await sleep(1000 * TOGETHER, undefined, { signal }).catch(() => {});
  if (signal.aborted) return;
  const before = (await overviewOf(cluster)).cameras.filter(({ worker }) => worker?.startsWith(`${victim}-`));
  const ids = before.map(({ id }) => id);
  running.get(victim)?.kill("SIGKILL");
  const killed = performance.now();
  say(`demo  killed the worker ${victim}, which watched ${ids.join(", ")}`);
  const isTaken = ({ cameras: all }: Overview) =>
    all.every(({ worker, id }) => worker !== undefined && !(ids.includes(id) && worker.startsWith(`${victim}-`)));
  await until(async () => isTaken(await overviewOf(cluster)), signal);
  if (signal.aborted) return;
  const after = (await overviewOf(cluster)).cameras.filter(({ id }) => ids.includes(id));
  const seconds = (performance.now() - killed) / 1000;
  say(
    `demo  after ${seconds.toFixed(1)} s (lease ${LEASE} s): ${after.map(({ id, worker }) => `${id} on ${worker}`).join(", ")}`,
  );
  await until(async () => {
    const [progress] = await progressOf(cluster);
    return progress.counts.done + progress.counts.failed === progress.videos.size;
  }, signal);
  if (signal.aborted) return;
  const [{ counts }] = await progressOf(cluster);
  say(`demo  archive: ${counts.done} videos scored, ${counts.failed} failed; cameras go on until Ctrl-C`);
  if (!isShort) await once(signal, "abort");
}

/** Waits until a check is true, or the signal ends it. */
async function until(check: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await check())) await sleep(500, undefined, { signal }).catch(() => {});
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
