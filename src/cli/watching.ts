// Watches cameras until it is stopped: the configuration, the processes, and what the terminal
// shows.
import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { configOf, readConfig, type WatchConfig, type WebConfig } from "../server/config/config.js";
import { scrubber } from "../server/config/secrets.js";
import { logLevels } from "../server/config/types.js";
import type { EngineOptions } from "../server/engine/engine.js";
import { Ending, type EventChange, type Sink } from "../server/records.js";
import { openSinks, type SinkListener, updateSinks } from "../server/sinks/open.js";
import { type CameraChanges, differsInCamerasOnly, Supervisor, type SupervisorListener } from "../server/supervisor.js";
import { type WebOptions, webApp } from "../server/web/app.js";
import { type Served, serveWeb } from "../server/web/serve.js";
import { WatchFeed } from "../server/web/watched.js";
import { parseSchedule } from "../watch/schedule.js";
import { ConfigFile } from "./config_file.js";
import { checkPaths, checkpointOf, checkSources } from "./config_paths.js";
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
  /** How the engine is run, for tests. */
  engine?: EngineOptions;
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
  if (options.check) {
    const config = await configured(sources, options);
    await checkPaths(config, options);
    console.log(`the configuration is good: ${counted(config.cameras.length, "camera")}, data in ${config.data}`);
  } else if (options.config === undefined || sources.length > 0) {
    await watchWith(await configured(sources, options), options, signal);
  } else await watchFile(options.config, options, signal);
}

/**
 * Watches what a file says. After an edit only the cameras that have changed begin again; if other
 * settings have changed, all ends in order and begins again.
 */
async function watchFile(path: string, options: WatchCommandOptions, signal: AbortSignal): Promise<void> {
  const file = await ConfigFile.open(path, async () => {
    const next = await configured([], options);
    await checkPaths(next, options);
    return next;
  });
  const paused = new Set<string>();
  let config = await configured([], options);
  /** Was in use before; a new one that fails gives way to it. */
  let before: WatchConfig | undefined;
  try {
    for (;;) {
      const edit = new AbortController();
      const notice = noticeFor(scrubber(config.secrets), config, options);
      const say = (level: "info" | "error", line: string) => notice(level, "configuration", line);
      let running: RunningWatch | undefined;
      /** Follows edits. @returns the configuration with which all is to begin again */
      const follow = async (ended: AbortSignal): Promise<WatchConfig | undefined> => {
        for (;;) {
          const next = await file.edited(config, say, ended);
          if (!next || !running || !differsInCamerasOnly(config, next)) return next;
          try {
            await running.change(next);
            [before, config] = [config, next];
          } catch (error) {
            file.problem = reasonOf(error);
            say("error", `${oneLine(path)} cannot be used: ${file.problem}; the configuration before stays in use`);
          }
        }
      };
      const edited = follow(AbortSignal.any([signal, edit.signal])).then((next) => {
        if (next) edit.abort(new Ending("the configuration has changed"));
        return next;
      });
      try {
        const onRunning = (watch: RunningWatch) => {
          running = watch;
        };
        await watchWith(config, options, AbortSignal.any([signal, edit.signal]), { paused, file, onRunning });
        if (!edit.signal.aborted || signal.aborted) return;
        before = config;
      } catch (error) {
        if (!before || signal.aborted) throw error;
        file.problem = reasonOf(error);
        say("error", `${oneLine(path)} cannot be used: ${file.problem}; the configuration before is used again`);
        [config, before] = [before, undefined];
      } finally {
        edit.abort();
      }
      config = (await edited) ?? config;
    }
  } finally {
    file.close();
  }
}

/** What {@link watchWith} takes from the command line. */
export type Watching = DeviceOptions & Pick<WatchCommandOptions, "checkpoint" | "loop" | "quiet" | "engine">;

/** Says something that ended nothing. */
type Notice = NonNullable<SupervisorListener["onNotice"]>;

/** What prints notices. @param scrub takes secrets out of lines */
function noticeFor(scrub: (line: string) => string, { log }: WatchConfig, { quiet = false }: Watching): Notice {
  const least = logLevels.indexOf(quiet ? "warn" : log.level);
  return (level, from, line) => {
    if (logLevels.indexOf(level) < least) return;
    const time = new Date().toISOString();
    process.stderr.write(`${time} ${level === "info" ? "" : `${level}: `}${from}: ${scrub(line)}\n`);
  };
}

/** A watch process that can go on with other cameras. */
export interface RunningWatch {
  /** See `change` of the supervisor. @throws InputError if nothing was changed */
  change(config: WatchConfig): Promise<void>;
}

/** What {@link watchWith} shares with whoever follows edits. */
export interface WatchSession {
  /** Ids of cameras that are switched off, when it begins and when it ends. */
  paused?: Set<string>;
  /** Where the configuration comes from; the page shows what is wrong with its last edit. */
  file?: Pick<ConfigFile, "problem">;
  /** It runs. */
  onRunning?(watch: RunningWatch): void;
}

/** Watches the cameras of a configuration; see {@link watch}. */
export async function watchWith(
  config: WatchConfig,
  options: Watching,
  signal: AbortSignal,
  { paused = new Set(), file, onRunning }: WatchSession = {},
): Promise<void> {
  const { loop = false, engine } = options;
  // Those of cameras that are gone may still be in the log.
  let secrets = config.secrets;
  let scrubKnown = scrubber(secrets);
  const scrub = (text: string) => scrubKnown(text);
  const say = (line: string) => process.stderr.write(`${scrub(line)}\n`);
  const feed = new WatchFeed();
  const notice = noticeFor(scrub, config, options);
  const checkpoint = checkpointOf(config, options.checkpoint);
  const supervisor = await Supervisor.open(
    config,
    { checkpoint: [checkpoint], detector: deviceOf(options), play: { loop }, ...(engine && { engine }) },
    {
      onChange: (change) => {
        console.log(changeLine(change, scrub));
        feed.onChange(change);
      },
      onOutcome: (camera, outcome) => feed.onOutcome(camera, outcome),
      onDelivery: (sink, result) => feed.onDelivery(sink, result),
      onNotice: notice,
    },
  );
  for (const { config: camera, decisions } of supervisor.cameras) decisions.isPaused = paused.has(camera.id);
  let page: Served | undefined;
  const sinks = new Map<string, Sink>();
  try {
    const listener = { ...sinkListener(supervisor, notice), secrets: () => secrets };
    for (const [name, sink] of openSinks(config, listener)) sinks.set(name, sink);
    const editProblem = () => file?.problem;
    if (config.web) page = await servePage(supervisor, feed, config.web, { scrub, editProblem });
    const isBundled = options.checkpoint === undefined && config.checkpoint === undefined;
    say(
      `model: ${checkpoint}${isBundled ? ", of drawn streets; train one on your own camera (docs/training.md)" : ""}`,
    );
    say(`events and clips: ${config.data}`);
    if (page) say(`page: ${page.url}`);
    const onAbort = () => {
      const why = signal.reason instanceof Ending ? signal.reason.message : "stopping";
      say(`${why}: ends events, makes their clips`);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    onRunning?.({
      change: async (next) => {
        secrets = [...new Set([...secrets, ...next.secrets])];
        scrubKnown = scrubber(secrets);
        const count = await supervisor.change(next);
        updateSinks(sinks, next);
        notice("info", "configuration", `goes on with the edited cameras: ${changeText(count)}`);
      },
    });
    await supervisor.run(sinks, signal);
    if (!signal.aborted) say("all files are over (--loop plays them again and again)");
  } finally {
    paused.clear();
    for (const { config: camera, decisions } of supervisor.cameras) if (decisions.isPaused) paused.add(camera.id);
    await page?.close();
    await supervisor.close();
    for (const sink of sinks.values()) await sink.close?.();
  }
}

/** What an edit did to cameras. */
const changeText = ({ begun, ended, staying }: CameraChanges): string =>
  `${begun} began, ${ended} ended, ${staying} did not change`;

function sinkListener(supervisor: Supervisor, notice: Notice): Omit<SinkListener, "secrets"> {
  return {
    onWarning: (sink, line) => notice("warn", sink, line),
    onLost: (sink, reason) => supervisor.newsOf(sink).fails(reason),
    onConnected: (sink) => supervisor.newsOf(sink).works(),
    onEnabled: (id, enabled) => {
      const camera = supervisor.cameras.find(({ config }) => config.id === id);
      if (camera) camera.decisions.isPaused = !enabled;
    },
  };
}

function servePage(
  supervisor: Supervisor,
  feed: WatchFeed,
  web: WebConfig,
  more: Pick<WebOptions, "scrub" | "editProblem">,
): Promise<Served> {
  return serveWeb(webApp(supervisor, feed, { ...web, ...more }), web);
}

/**
 * The configuration, with what the command line says.
 * @throws InputError if there is nothing to watch
 */
async function configured(sources: readonly string[], options: WatchCommandOptions): Promise<WatchConfig> {
  const { config: file, data, threshold, port } = options;
  if (file !== undefined && sources.length > 0) throw new InputError("name sources, or --config: not both");
  if (file === undefined && sources.length === 0) throw new InputError("name what to watch: sources, or --config FILE");
  await checkSources(sources);
  const read = file === undefined ? configOf(sources) : await readWatchConfig(file);
  const cameras = read.cameras.map((camera) => {
    const isGiven = camera.threshold.day !== undefined || camera.threshold.infrared !== undefined;
    return threshold === undefined || isGiven ? camera : { ...camera, threshold: { day: threshold } };
  });
  const web = port === undefined ? read.web : { ...(read.web ?? { host: "127.0.0.1" }), port };
  return { ...read, cameras, ...(data !== undefined && { data }), ...(web && { web }) };
}

/** Reads a configuration file. @throws InputErrors with all its problems */
export function readWatchConfig(file: string): Promise<WatchConfig> {
  return readConfig(file, (text) => void parseSchedule(text));
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
