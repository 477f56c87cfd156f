// What `watch` does: reads the configuration, watches its cameras, and follows its edits.
import { counted } from "../counted.js";
import { InputError } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { configOf, readConfig, type WatchConfig } from "../server/config/config.js";
import { scrubber } from "../server/config/secrets.js";
import { Ending } from "../server/records.js";
import { differsInCamerasOnly } from "../server/supervisor.js";
import { parseSchedule } from "../watch/schedule.js";
import { ConfigFile } from "./config_file.js";
import { checkPaths, checkSources } from "./config_paths.js";
import { noticeFor, type RunningWatch, type Watching, watchWith } from "./watch_session.js";

/** The options of `watch`. */
export interface WatchCommandOptions extends Watching {
  config?: string;
  data?: string;
  threshold?: number;
  port?: number;
  check?: boolean;
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
  } else await (await WatchedFile.open(options.config, options)).run(signal);
}

/**
 * A configuration file that is watched. After an edit only the cameras that have changed begin
 * again; if other settings have changed, all ends in order and begins again.
 */
class WatchedFile {
  /** Ids of cameras that are switched off. */
  private readonly paused = new Set<string>();
  /** Was in use before; a new one that fails gives way to it. */
  private before: WatchConfig | undefined;
  private running: RunningWatch | undefined;

  private constructor(
    private readonly path: string,
    private readonly options: WatchCommandOptions,
    private readonly file: ConfigFile,
    private config: WatchConfig,
  ) {}

  /** @throws InputErrors with all that is wrong */
  static async open(path: string, options: WatchCommandOptions): Promise<WatchedFile> {
    const file = await ConfigFile.open(path, async () => {
      const next = await configured([], options);
      await checkPaths(next, options);
      return next;
    });
    return new WatchedFile(path, options, file, await configured([], options));
  }

  /** Watches until the signal ends it, or all cameras are files that have ended. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (await this.watch(signal));
    } finally {
      this.file.close();
    }
  }

  /** @returns whether it begins again, because the file was edited */
  private async watch(signal: AbortSignal): Promise<boolean> {
    const edit = new AbortController();
    const either = AbortSignal.any([signal, edit.signal]);
    const edited = this.follow(either).then((next) => {
      if (next) edit.abort(new Ending("the configuration has changed"));
      return next;
    });
    const onRunning = (running: RunningWatch) => {
      this.running = running;
    };
    const { config, options } = this;
    try {
      await watchWith(config, options, either, { paused: this.paused, file: this.file, onRunning });
      if (!edit.signal.aborted || signal.aborted) return false;
      this.before = this.config;
    } catch (error) {
      if (!this.before || signal.aborted) {
        // Names the keys, if what failed is something that the configuration names.
        if (error instanceof InputError) await checkPaths(config, options);
        throw error;
      }
      this.say("error", `${this.refuse(error)}; the configuration before is used again`);
      [this.config, this.before] = [this.before, undefined];
    } finally {
      this.running = undefined;
      edit.abort();
    }
    this.config = (await edited) ?? this.config;
    return true;
  }

  /** Follows edits. @returns the configuration with which all is to begin again */
  private async follow(signal: AbortSignal): Promise<WatchConfig | undefined> {
    for (;;) {
      const next = await this.file.edited(this.config, (level, line) => this.say(level, line), signal);
      if (!next || !this.running || !differsInCamerasOnly(this.config, next)) return next;
      try {
        await this.running.change(next);
        [this.before, this.config] = [this.config, next];
      } catch (error) {
        this.say("error", `${this.refuse(error)}; the configuration before stays in use`);
      }
    }
  }

  /** Notes why the file cannot be used, for the page. @returns the same in a line */
  private refuse(error: unknown): string {
    this.file.problem = reasonOf(error);
    return `${oneLine(this.path)} cannot be used: ${this.file.problem}`;
  }

  private say(level: "info" | "error", line: string): void {
    noticeFor(scrubber(this.config.secrets), this.config, this.options)(level, "configuration", line);
  }
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
    return threshold === undefined || isGiven
      ? camera
      : { ...camera, threshold: { day: threshold, infrared: threshold } };
  });
  const web = port === undefined ? read.web : { ...(read.web ?? { host: "127.0.0.1" }), port };
  return { ...read, cameras, ...(data !== undefined && { data }), ...(web && { web }) };
}

/** Reads a configuration file. @throws InputErrors with all its problems */
export function readWatchConfig(file: string): Promise<WatchConfig> {
  return readConfig(file, { checkSchedule: (text) => void parseSchedule(text) });
}
