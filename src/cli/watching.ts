// Watches cameras until it is stopped: the configuration, the processes, and what the terminal
// shows.
import { stat } from "node:fs/promises";
import { InputError } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { packageFile } from "../node/files/package_files.js";
import { isAddress, refuseScheme } from "../node/media/address.js";
import { configOf, readConfig, type WatchConfig } from "../server/config/config.js";
import type { EventChange } from "../server/records.js";
import { scrubber } from "../server/config/secrets.js";
import { openSinks } from "../server/sinks/open.js";
import { Supervisor } from "../server/supervisor.js";
import { parseSchedule } from "../watch/schedule.js";
import type { WatchCommandOptions } from "./commands/watch.js";
import { deviceOf } from "./options/device.js";
import { Interrupted } from "./terminal/interrupt.js";

/**
 * Watches cameras until the signal ends it, or all are files that have ended.
 * @throws InputError if something cannot be used
 */
export async function watch(
  sources: readonly string[],
  options: WatchCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const config = await configured(sources, options);
  const scrub = scrubber(config.secrets);
  if (options.check) {
    const count = config.cameras.length;
    console.log(`the configuration is good: ${count} ${count === 1 ? "camera" : "cameras"}, data in ${config.data}`);
    return;
  }
  const say = (line: string) => process.stderr.write(`${scrub(line)}\n`);
  const checkpoint = options.checkpoint ?? config.checkpoint ?? packageFile("models", "scene.safetensors");
  const supervisor = await Supervisor.open(
    config,
    {
      checkpoint: [checkpoint],
      detector: deviceOf(options),
      play: { loop: options.loop ?? false },
    },
    {
      onChange: (change) => console.log(scrub(changeLine(change))),
      onNotice: (level, from, line) => {
        if (level !== "info" || !options.quiet) say(`${level === "info" ? "" : `${level}: `}${from}: ${line}`);
      },
    },
  );
  const sinks = openSinks(config, { onWarning: (sink, line) => say(`warn: ${sink}: ${line}`) });
  try {
    if (!options.quiet) say(`events and clips: ${config.data}`);
    await supervisor.run(sinks, signal);
  } finally {
    await supervisor.close();
    for (const sink of sinks.values()) await sink.close?.();
  }
  // Ctrl-C is how watching ends.
  if (signal.aborted && !(signal.reason instanceof Interrupted)) throw signal.reason;
}

/** The configuration, with what the command line says. @throws InputError if there is nothing to watch */
async function configured(sources: readonly string[], options: WatchCommandOptions): Promise<WatchConfig> {
  const { config: file, data, threshold } = options;
  if (file !== undefined && sources.length > 0) throw new InputError("name sources, or --config: not both");
  if (file === undefined && sources.length === 0) throw new InputError("name what to watch: sources, or --config FILE");
  for (const source of sources) await checkFile(source);
  const read = file === undefined ? configOf(sources) : await readConfig(file, (text) => void parseSchedule(text));
  const cameras = read.cameras.map((camera) => {
    const isGiven = camera.threshold.day !== undefined || camera.threshold.infrared !== undefined;
    return threshold === undefined || isGiven ? camera : { ...camera, threshold: { day: threshold } };
  });
  return { ...read, cameras, ...(data !== undefined && { data }) };
}

/** A file that is named must be there; a camera may come back. @throws InputError if it is not */
async function checkFile(source: string): Promise<void> {
  if (isAddress(source) || source.startsWith("device:")) return;
  refuseScheme(source);
  await stat(source).catch((error: unknown) => {
    throw new InputError(`${oneLine(source)} cannot be read: ${reasonOf(error)}`);
  });
}

/** A change of an event in a line. */
function changeLine({ change, time, event }: EventChange): string {
  const { camera, kind, id, peak, zones, text, reason, clip, silent } = event;
  const level =
    peak && event.threshold !== undefined
      ? ` ${peak.level.toPrecision(3)} (threshold ${event.threshold.toPrecision(3)})`
      : "";
  const where = zones.length > 0 ? ` in ${zones.join(", ")}` : "";
  const more = [text, change === "end" ? reason : undefined, change === "clip" ? clip : undefined].filter(Boolean);
  return `${time} ${camera} ${kind} ${change}${silent ? " (silent)" : ""}${level}${where}${more.map((part) => `: ${part}`).join("")} [${id}]`;
}
