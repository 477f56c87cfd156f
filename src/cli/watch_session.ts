// Watches the cameras of one configuration: the supervisor, who hears of events, the page, and what
// the terminal shows.
import type { WatchConfig, WebConfig } from "../server/config/config.js";
import { KnownSecrets } from "../server/config/secrets.js";
import { logLevels } from "../server/config/types.js";
import type { EngineOptions } from "../server/engine/engine.js";
import { Ending, type EventChange, type Sink } from "../server/records.js";
import { openSinks, type SinkListener, updateSinks } from "../server/sinks/open.js";
import { type CameraChanges, Supervisor, type SupervisorListener } from "../server/supervisor.js";
import { type WebOptions, webApp } from "../server/web/app.js";
import { type Served, serveWeb } from "../server/web/serve.js";
import { WatchFeed } from "../server/web/watched.js";
import type { ConfigFile } from "./config_file.js";
import { checkpointOf } from "./config_paths.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";

/** What {@link watchWith} takes from the command line. */
export interface Watching extends DeviceOptions {
  checkpoint?: string;
  loop?: boolean;
  quiet?: boolean;
  /** How the engine is run, for tests. */
  engine?: EngineOptions;
}

/** Says something that ended nothing. */
type Notice = NonNullable<SupervisorListener["onNotice"]>;

/** What prints notices. @param scrub takes secrets out of lines */
export function noticeFor(scrub: (line: string) => string, { log }: WatchConfig, { quiet = false }: Watching): Notice {
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

/** Watches the cameras of a configuration until the signal ends it. */
export async function watchWith(
  config: WatchConfig,
  options: Watching,
  signal: AbortSignal,
  { paused = new Set(), file, onRunning }: WatchSession = {},
): Promise<void> {
  const { loop = false, engine } = options;
  const secrets = new KnownSecrets(config.secrets);
  const { scrub } = secrets;
  const say = (line: string) => process.stderr.write(`${scrub(line)}\n`);
  const feed = new WatchFeed();
  const notice = noticeFor(scrub, config, options);
  const checkpoint = checkpointOf(config, options.checkpoint);
  const supervisor = await Supervisor.open(
    config,
    { checkpoint: [checkpoint], detector: deviceOf(options), play: { loop }, ...(engine && { engine }) },
    watchListener(feed, notice, scrub),
  );
  for (const { config: camera, decisions } of supervisor.cameras) decisions.isPaused = paused.has(camera.id);
  let page: Served | undefined;
  const sinks = new Map<string, Sink>();
  try {
    const listener = { ...sinkListener(supervisor, notice), secrets: () => secrets.all };
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
      if (signal.reason instanceof Ending) {
        notice("info", "configuration", "more than cameras has changed: events end, clips are made, all begins again");
      } else say("stopping: ends events, makes their clips");
    };
    signal.addEventListener("abort", onAbort, { once: true });
    onRunning?.({
      change: async (next) => {
        secrets.add(next.secrets);
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
const changeText = ({ added, removed, changed, same }: CameraChanges): string =>
  `${added} added, ${removed} removed, ${changed} changed, ${same} as before`;

/** Prints the changes of events, and tells the page what happens. */
export function watchListener(feed: WatchFeed, onNotice: Notice, scrub: (text: string) => string): SupervisorListener {
  return {
    onChange: (change) => {
      console.log(changeLine(change, scrub));
      feed.onChange(change);
    },
    onOutcome: (camera, outcome) => feed.onOutcome(camera, outcome),
    onDelivery: (sink, result) => feed.onDelivery(sink, result),
    onNotice,
  };
}

/** What sinks tell a supervisor. */
export function sinkListener(supervisor: Supervisor, notice: Notice): Omit<SinkListener, "secrets"> {
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
