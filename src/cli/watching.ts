// Watches cameras until it is stopped: the configuration, the processes, and what the terminal
// shows.
import { stat } from "node:fs/promises";
import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { packageFile } from "../node/files/package_files.js";
import { isAddress, refuseScheme } from "../node/media/address.js";
import { configOf, readConfig, type WatchConfig, type WebConfig } from "../server/config/config.js";
import { scrubber } from "../server/config/secrets.js";
import { logLevels } from "../server/config/types.js";
import type { EventChange, Sink } from "../server/records.js";
import { openSinks, type SinkListener } from "../server/sinks/open.js";
import { enabledCameras, Supervisor } from "../server/supervisor.js";
import { webApp } from "../server/web/app.js";
import { type Served, serveWeb } from "../server/web/serve.js";
import { WatchFeed } from "../server/web/watched.js";
import { parseSchedule } from "../watch/schedule.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";

/** The options of `watch`. */
export interface WatchCommandOptions extends DeviceOptions {
  config?: string;
  checkpoint?: string;
  data?: string;
  threshold?: number;
  port?: number;
  loop?: boolean;
  check?: boolean;
  quiet?: boolean;
}

/**
 * Watches what the command line says, until the signal ends it or all cameras are files that have
 * ended.
 * @throws InputError if something cannot be used
 */
export async function watch(
  sources: readonly string[],
  options: WatchCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const config = await configured(sources, options);
  if (options.check) {
    await checkPaths(config, options);
    console.log(`the configuration is good: ${counted(config.cameras.length, "camera")}, data in ${config.data}`);
    return;
  }
  await watchWith(config, options, signal);
}

/** Reads what a configuration names. @throws InputError if something of it cannot be used */
async function checkPaths(config: WatchConfig, { checkpoint }: WatchCommandOptions): Promise<void> {
  await readCheckpoint([checkpointOf(config, checkpoint)]);
  for (const { source, record } of enabledCameras(config)) {
    await checkPath(source);
    if (record !== undefined) await checkPath(record);
  }
}

/** The model's file: as the command line says, else the configuration, else the bundled one. */
const checkpointOf = (config: WatchConfig, given: string | undefined): string =>
  given ?? config.checkpoint ?? packageFile("models", "scene.safetensors");

/** What {@link watchWith} takes from the command line. */
export type Watching = DeviceOptions & Pick<WatchCommandOptions, "checkpoint" | "loop" | "quiet">;

/** Watches the cameras of a configuration; see {@link watch}. */
export async function watchWith(config: WatchConfig, options: Watching, signal: AbortSignal): Promise<void> {
  const { loop = false, quiet = false } = options;
  const scrub = scrubber(config.secrets);
  const say = (line: string) => process.stderr.write(`${scrub(line)}\n`);
  const feed = new WatchFeed();
  const least = logLevels.indexOf(quiet ? "warn" : config.log.level);
  const checkpoint = checkpointOf(config, options.checkpoint);
  const supervisor = await Supervisor.open(
    config,
    { checkpoint: [checkpoint], detector: deviceOf(options), play: { loop } },
    {
      onChange: (change) => {
        console.log(changeLine(change, scrub));
        feed.onChange(change);
      },
      onOutcome: (camera, outcome) => feed.onOutcome(camera, outcome),
      onDelivery: (sink, result) => feed.onDelivery(sink, result),
      onNotice: (level, from, line) => {
        if (logLevels.indexOf(level) < least) return;
        const time = new Date().toISOString();
        process.stderr.write(`${time} ${level === "info" ? "" : `${level}: `}${from}: ${scrub(line)}\n`);
      },
    },
  );
  let page: Served | undefined;
  const sinks = new Map<string, Sink>();
  try {
    for (const [name, sink] of openSinks(config, sinkListener(supervisor, say))) sinks.set(name, sink);
    if (config.web) page = await servePage(config.web, supervisor, feed, scrub);
    const isBundled = options.checkpoint === undefined && config.checkpoint === undefined;
    say(
      `model: ${checkpoint}${isBundled ? ", of drawn streets; train one on your own camera (docs/training.md)" : ""}`,
    );
    say(`events and clips: ${config.data}`);
    if (page) say(`page: ${page.url}`);
    signal.addEventListener("abort", () => say("stopping: ends events, makes their clips"), { once: true });
    await supervisor.run(sinks, signal);
  } finally {
    await page?.close();
    await supervisor.close();
    for (const sink of sinks.values()) await sink.close?.();
  }
}

function sinkListener({ cameras }: Supervisor, say: (line: string) => void): SinkListener {
  return {
    onWarning: (sink, line) => say(`warn: ${sink}: ${line}`),
    onEnabled: (id, enabled) => {
      const camera = cameras.find(({ config }) => config.id === id);
      if (camera) camera.decisions.isPaused = !enabled;
    },
  };
}

function servePage(
  web: WebConfig,
  supervisor: Supervisor,
  feed: WatchFeed,
  scrub: (text: string) => string,
): Promise<Served> {
  return serveWeb(webApp(supervisor, feed, { ...web, scrub }), web);
}

/**
 * The configuration, with what the command line says.
 * @throws InputError if there is nothing to watch
 */
async function configured(sources: readonly string[], options: WatchCommandOptions): Promise<WatchConfig> {
  const { config: file, data, threshold, port } = options;
  if (file !== undefined && sources.length > 0) throw new InputError("name sources, or --config: not both");
  if (file === undefined && sources.length === 0) throw new InputError("name what to watch: sources, or --config FILE");
  for (const source of sources) await checkPath(source);
  const read = await inLines(async () =>
    file === undefined ? configOf(sources) : readConfig(file, (text) => void parseSchedule(text)),
  );
  const cameras = read.cameras.map((camera) => {
    const isGiven = camera.threshold.day !== undefined || camera.threshold.infrared !== undefined;
    return threshold === undefined || isGiven ? camera : { ...camera, threshold: { day: threshold } };
  });
  const web = port === undefined ? read.web : { ...(read.web ?? { host: "127.0.0.1" }), port };
  return { ...read, cameras, ...(data !== undefined && { data }), ...(web && { web }) };
}

/**
 * Prints all problems but the last one, a line each.
 * @throws InputError with the last one
 */
async function inLines<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const lines = error.message.split("\n");
    for (const line of lines.slice(0, -1)) process.stderr.write(`error: ${line}\n`);
    throw new InputError(lines.at(-1)!);
  }
}

/** A path that is named must be there; a camera may come back. @throws InputError if it is not */
async function checkPath(source: string): Promise<void> {
  if (isAddress(source) || source.startsWith("device:")) return;
  refuseScheme(source);
  const info = await stat(source).catch((error: unknown) => {
    throw new InputError(`${oneLine(source)} cannot be read: ${reasonOf(error)}`);
  });
  if (info.isFile() || info.isDirectory()) return;
  throw new InputError(
    `${oneLine(source)} is no video file, folder or address; a camera is named as device:/dev/video0`,
  );
}

/** A change of an event in a line. Secrets are looked for in texts, not in times and ids. */
function changeLine({ change, time, event }: EventChange, scrub: (text: string) => string): string {
  const { camera, kind, id, peak, zones, text, reason, clip, silent } = event;
  const level =
    peak && event.threshold !== undefined
      ? ` ${peak.level.toPrecision(3)} (threshold ${event.threshold.toPrecision(3)})`
      : "";
  const where = zones.length > 0 ? ` in ${zones.join(", ")}` : "";
  const more = [
    text && scrub(text),
    change === "end" ? reason : undefined,
    change === "clip" ? clip : undefined,
  ].filter(Boolean);
  return `${time} ${camera} ${kind} ${change}${silent ? " (silent)" : ""}${level}${where}${more.map((part) => `: ${part}`).join("")} [${id}]`;
}
