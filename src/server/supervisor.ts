// The watch process: cameras, the engine, the event log, and who hears of events. WebGPU is in the
// engine's process only, so that a crash of a driver stops no alert.
import { once } from "node:events";
import { rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { scoreLimit } from "../detector/settings.js";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import type { CameraMode } from "../watch/scene_change.js";
import { Camera, type PlayOptions } from "./camera/camera.js";
import type { Outcome } from "./camera/decisions.js";
import { misfitOf, type NormalState } from "./camera/learner.js";
import { lastRecorded, rescueClips } from "./camera/rescue.js";
import { CameraRuns } from "./camera_runs.js";
import type { CameraConfig, SinkConfig, WatchConfig } from "./config/config.js";
import { Disk } from "./disk.js";
import type { Engine, EngineOptions } from "./engine/engine.js";
import type { EngineFacts, EngineSetup } from "./engine/messages.js";
import { type CameraModel, Engines } from "./engines.js";
import { EventLog, newEventId } from "./event_log.js";
import { Feedback } from "./feedback.js";
import { Memory } from "./memory.js";
import { type Model, Models, sizeOf } from "./models.js";
import { type DeliveryFilter, type DeliveryResult, Outbox } from "./outbox.js";
import type { EventChange, Sink } from "./records.js";
import { SinkNews } from "./sink_news.js";
import { removeUnfinished } from "./storage.js";

/** What the supervisor is told beside the configuration. */
export interface SupervisorOptions {
  /** Paths of the checkpoint, and of a student if it lies apart. */
  checkpoint: readonly string[];
  detector?: EngineSetup["detector"];
  play?: PlayOptions;
  engine?: EngineOptions;
  /** Seconds between looks for models that were learnt; for tests. */
  lookAtModels?: number;
  /** Cameras are calibrated: the usual view is learnt again; if `fresh`, all else too. */
  calibrate?: { fresh: boolean };
  /** It goes on without cameras, until it is stopped: they come and go. */
  stays?: boolean;
}

/** What happens, for the terminal, the page and metrics. */
export interface SupervisorListener {
  /** A change of an event, once it is on disk. */
  onChange?(change: EventChange): void;
  onOutcome?(camera: Camera, outcome: Outcome): void;
  /** A line about something that ended nothing. `from`: a camera, a sink or a part. */
  onNotice?(level: "info" | "warn" | "error", from: string, line: string): void;
  /** An attempt to deliver a change. */
  onDelivery?(sink: string, result: DeliveryResult): void;
  /**
   * No engine can score these cameras, and none is started again. Only if it `stays`: otherwise the
   * supervisor ends.
   */
  onUnscored?(ids: readonly string[], error: Error): void;
}

/** Seconds between reports of the state of cameras. */
const REPORT_STATE = 2;
/** Seconds between copies of what cameras have learnt, and by which share that must have grown. */
const REMEMBER = 60;
const MORE = 0.02;
/** Seconds between looks for models that were learnt. */
const LOOK_AT_MODELS = 10;

/** Starts of an engine that gives no score, if cameras may go to another machine. */
const ATTEMPTS = 5;

/** How many cameras an edit of the configuration concerned. */
export interface CameraChanges {
  added: number;
  removed: number;
  changed: number;
  same: number;
}

/** Everything that watches. */
export class Supervisor {
  private readonly engines: Engines;
  private readonly memory: Memory;
  private readonly disk: Disk;
  private readonly outboxes = new Map<string, Outbox>();
  private readonly feedback: Feedback;
  private sinks: ReadonlyMap<string, Sink> = new Map();
  private readonly sinkNews = new Map<string, SinkNews>();
  private failure: Error | undefined;
  private readonly stop = new AbortController();
  private list: readonly Camera[];
  private readonly runs = new CameraRuns();
  /** Resolves once no change is under way. */
  private changing: Promise<unknown> = Promise.resolve();

  private constructor(
    private settings: WatchConfig,
    readonly log: EventLog,
    private readonly models: Models,
    chosen: ReadonlyMap<CameraConfig, Model>,
    private readonly options: SupervisorOptions,
    private readonly listener: SupervisorListener,
  ) {
    const { settings: config } = this;
    this.feedback = new Feedback(config.data, (camera, line) => listener.onNotice?.("warn", camera, line));
    const onNotice: SupervisorListener["onNotice"] = (...news) => listener.onNotice?.(...news);
    this.disk = new Disk({
      ...{ config, pace: options.play?.fast ? 10 : 1 },
      onNotice: (level, line) => onNotice(level, "storage", line),
      onRoom: () => {
        for (const camera of this.cameras) camera.roomChanged();
      },
    });
    this.memory = new Memory({
      ...{ data: config.data, calibrate: options.calibrate },
      factsOf: (camera) => this.engines.factsOf(camera),
      hasRoom: () => this.disk.hasRoom,
      warn: (camera, line) => onNotice("warn", camera, line),
    });
    this.engines = new Engines({
      ...{ models, memory: this.memory, detector: options.detector ?? {} },
      // Elsewhere cameras may be scored.
      engine: { ...(options.stays && { attempts: ATTEMPTS }), ...options.engine },
      ...{ everyFrame: options.play?.fast ?? false, onNotice },
      onFailed: (error, ids) => {
        // Other cameras may have other models.
        if (options.stays) {
          listener.onUnscored?.(ids, error);
          return;
        }
        this.failure = error;
        this.stop.abort();
      },
    });
    this.list = [...chosen].map(([camera, model]) => this.watch(camera, model));
  }

  /**
   * Opens the data folder and reads the models. Nothing runs yet.
   * @throws InputError if something of it cannot be used, or another process watches with this
   * folder
   */
  static async open(
    config: WatchConfig,
    options: SupervisorOptions,
    listener: SupervisorListener = {},
  ): Promise<Supervisor> {
    const { detector = {}, checkpoint, stays } = options;
    const cameras = stays ? enabledOf(config) : enabledCameras(config);
    const models = await Models.open({ data: config.data, cameras }, checkpoint, detector, (camera, line) =>
      listener.onNotice?.("warn", camera, line),
    );
    const chosen = new Map<CameraConfig, Model>();
    for (const camera of cameras) chosen.set(camera, await models.of(camera));
    await makeFolder(config.data);
    const onWarning = (line: string) => listener.onNotice?.("warn", "events", line);
    const log = await EventLog.open(join(config.data, "events"), { onWarning });
    try {
      return new Supervisor(config, log, models, chosen, options, listener);
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  get config(): WatchConfig {
    return this.settings;
  }

  /** In the order of the configuration. */
  get cameras(): readonly Camera[] {
    return this.list;
  }

  /** Whether every camera is scored. */
  get isReady(): boolean {
    return this.engines.isReady || (this.options.stays === true && this.cameras.length === 0);
  }

  /** Of the engines that have said that they run. */
  get facts(): ReadonlyMap<Engine, EngineFacts> {
    return this.engines.facts;
  }

  /** Bytes of clips. */
  get clipBytes(): number {
    return this.disk.clipBytes;
  }

  /** Processes of the engines that run. */
  get enginePids(): number[] {
    return this.engines.pids;
  }

  /** What was learnt of a camera in the mode that it shows now. @param camera its id */
  learnt(camera: string): NormalState | undefined {
    return this.cameras.find(({ config }) => config.id === camera)?.decisions.learnt;
  }

  /** The model of a camera. @param camera its id */
  modelOf(camera: string): CameraModel {
    return this.engines.modelOf(camera);
  }

  /** Changes that wait for each sink, and why they do or would. */
  queues(): { sink: string; length: number; problem: string | undefined }[] {
    return [...this.outboxes].map(([sink, { queueLength, lastError }]) => {
      return { sink, length: queueLength, problem: this.sinks.get(sink)?.problem ?? lastError };
    });
  }

  /** News of a sink, for the log. @param sink its name */
  newsOf(sink: string): SinkNews {
    const news = this.sinkNews.get(sink) ?? new SinkNews((level, line) => this.listener.onNotice?.(level, sink, line));
    this.sinkNews.set(sink, news);
    return news;
  }

  /**
   * Watches until the signal ends it; also, unless it stays, until all cameras are files that have
   * ended.
   * @param sinks where changes are sent, by the configuration's names; one that the configuration
   * does not name gets all changes, also of events that are only recorded
   * @throws Error if the engine cannot run with this checkpoint or on this machine
   */
  async run(sinks: ReadonlyMap<string, Sink>, signal: AbortSignal): Promise<void> {
    const all = AbortSignal.any([signal, this.stop.signal]);
    await removeUnfinished(join(this.config.data, "clips"));
    await this.endInterrupted();
    await this.openOutboxes(sinks);
    await this.disk.look();
    const rescue = await rescueClips({
      ...{ data: this.config.data, hasRoom: this.disk.hasRoom, events: () => this.log.events() },
      keep: (change) => this.keep(change),
      warn: (camera, line) => this.listener.onNotice?.("warn", camera, line),
    });
    this.engines.start();
    const disk = setInterval(() => void this.disk.look(), 1000 * this.disk.interval);
    const states = setInterval(() => {
      for (const camera of this.cameras) this.reportState(camera);
      void this.breathe();
    }, 1000 * REPORT_STATE);
    const learning = setInterval(() => void this.memory.rememberAll(this.cameras, MORE), 1000 * REMEMBER);
    const every = this.options.lookAtModels ?? LOOK_AT_MODELS;
    const models = setInterval(() => void this.engines.lookAtModels(), 1000 * every);
    try {
      this.runs.begin(this.cameras, all);
      await this.runs.over(() => this.changing);
      if (this.options.stays && !all.aborted) {
        await once(all, "abort");
        await this.changing;
        await this.runs.over(() => this.changing);
      }
    } finally {
      clearInterval(disk);
      clearInterval(states);
      clearInterval(learning);
      clearInterval(models);
      for (const camera of this.cameras) this.reportState(camera);
      await this.memory.rememberAll(this.cameras);
      await this.engines.close();
      await rescue.done;
    }
    if (this.failure) throw this.failure;
  }

  /**
   * Goes on with another configuration: cameras that are new begin, those that are gone end, those
   * that have changed end and begin again; the others do not notice. Cameras that stay keep whether
   * they are switched off.
   * @param config see {@link differsInCamerasOnly}
   * @param why events of cameras that end do, in a few words
   * @throws InputError if a model cannot be used; then nothing changes
   */
  change(config: WatchConfig, why = "the configuration has changed"): Promise<CameraChanges> {
    const done = this.changing.then(() => this.changeNow(config, why));
    this.changing = done.catch(() => {});
    return done;
  }

  /**
   * Somebody says that an event was a false alarm: its clip is kept as normal video of the camera;
   * or takes that back.
   * @throws InputError if there is no such event, or its clip cannot be copied
   */
  async markNormal(id: string, isNormal = true): Promise<void> {
    const found = this.feedback.latest(id) ?? (await this.log.events()).find((one) => one.id === id);
    // It may have changed while the log was read.
    const event = this.feedback.latest(id) ?? found;
    if (!event) throw new InputError(`there is no event ${oneLine(id)}`);
    await this.keep(await this.feedback.say(event, isNormal));
  }

  /**
   * Forgets what was learnt of a camera, and learns it again: thresholds, and the usual view.
   * @param id its id
   * @throws InputError if there is no such camera, or what was kept cannot be removed
   */
  async recalibrate(id: string): Promise<void> {
    const camera = this.cameras.find(({ config }) => config.id === id);
    if (!camera) throw new InputError(`there is no camera ${oneLine(id)}`);
    await this.memory.forget(camera);
    this.listener.onNotice?.("info", id, "forgot what was learnt, and learns it again");
  }

  /** Resolves once a sink has got all changes, or after so many seconds. @param sink its name */
  async delivered(sink: string, seconds: number): Promise<void> {
    const timer = new AbortController();
    const over = sleep(1000 * seconds, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([this.outboxes.get(sink)?.drained(), over]);
    timer.abort();
  }

  /** Ends deliveries and closes the log. What is not delivered goes out after the next start. */
  async close(): Promise<void> {
    await Promise.all([...this.outboxes.values()].map((outbox) => outbox.close({ grace: 3 })));
    await this.log.close();
  }

  private async changeNow(config: WatchConfig, why: string): Promise<CameraChanges> {
    const wanted = this.options.stays ? enabledOf(config) : enabledCameras(config);
    const same = (camera: Camera) => wanted.find((one) => isDeepStrictEqual(one, camera.config));
    const staying = this.cameras.filter(same);
    const coming = wanted.filter((one) => !staying.some((camera) => camera.config.id === one.id));
    const models = new Map<CameraConfig, Model>();
    for (const camera of coming) {
      await this.models.add(camera);
      models.set(camera, await this.models.of(camera));
    }
    const leaving = this.cameras.filter((camera) => !staying.includes(camera));
    await Promise.all(leaving.map((camera) => this.end(camera, why)));
    // Together with the new list: whoever looks at a camera of the list asks for its model.
    for (const { config: gone } of leaving) this.engines.remove(gone.id);
    this.settings = config;
    const begun = coming.map((camera) => this.watch(camera, models.get(camera)!));
    const byId = new Map([...staying, ...begun].map((camera) => [camera.config.id, camera]));
    this.list = wanted.map(({ id }) => byId.get(id)!);
    let changed = 0;
    for (const camera of begun) {
      const before = leaving.find(({ config: { id } }) => id === camera.config.id);
      if (before) {
        camera.decisions.continueFrom(before.decisions);
        changed++;
      }
      this.runs.start(camera);
    }
    for (const [name, outbox] of this.outboxes) {
      // The ends of events of cameras that are gone are to be sent as well.
      await outbox.caughtUp();
      const sink = config.sinks.find((one) => one.name === name);
      if (sink) outbox.filter = filterOf(sink);
    }
    return { added: begun.length - changed, removed: leaving.length - changed, changed, same: staying.length };
  }

  /** Ends a camera, its events and their clips. What was learnt is kept, the recording is not. */
  private async end(camera: Camera, why: string): Promise<void> {
    await this.runs.end(camera, why);
    await this.memory.remember(camera);
    const recording = join(this.config.data, "segments", camera.config.id);
    // What cannot be removed now is removed at the next start.
    await rm(recording, { recursive: true, force: true }).catch(() => {});
  }

  private watch(config: CameraConfig, model: Model): Camera {
    const { listener, engines, disk } = this;
    const size = sizeOf(config, model);
    const camera: Camera = new Camera(
      config,
      {
        ...{ data: this.config.data, size, newId: newEventId },
        send: (frame) => engines.send(config.id, frame),
        keep: (change) => this.keep(change),
        canRecord: () => disk.hasRoom,
        learnt: (mode, state) => this.tellLearnt(camera, mode, state),
        show: (outcome) => listener.onOutcome?.(camera, outcome),
        warn: (line) => listener.onNotice?.("warn", config.id, line),
      },
      this.options.play,
    );
    engines.add(camera, model, size);
    for (const [mode, threshold] of Object.entries(config.threshold)) {
      const limit = scoreLimit(model.settings);
      if (limit === undefined || threshold <= limit) continue;
      const line = `nothing will ever reach the threshold ${threshold} (${mode}): levels of this model are at most ${limit}`;
      listener.onNotice?.("warn", config.id, line);
    }
    return camera;
  }

  /** A camera has a new threshold. */
  private tellLearnt(camera: Camera, mode: CameraMode, state: NormalState): void {
    const { listener, engines } = this;
    const { id } = camera.config;
    const { seconds, threshold } = state;
    const line = `learnt from ${Math.round(seconds / 60)} min of video: the threshold is ${threshold.toPrecision(3)}`;
    listener.onNotice?.("info", id, mode === "day" ? line : `${line} (infrared)`);
    const problem = misfitOf(state, engines.modelOf(id).settings);
    if (problem !== undefined) listener.onNotice?.("warn", id, problem);
    void this.memory.remember(camera);
  }

  /** Keeps a change, then tells everyone. */
  private async keep(news: EventChange): Promise<void> {
    const change = this.feedback.carry(news);
    await this.log.append(change);
    for (const outbox of this.outboxes.values()) outbox.notify();
    this.listener.onChange?.(change);
    // An alert may be over before the next report.
    const { camera, kind } = change.event;
    const seen = kind === "anomaly" && this.cameras.find(({ config }) => config.id === camera);
    if (seen) this.reportState(seen);
    await this.feedback.kept(change);
  }

  /** Notes that the process lives: a file's time says when that was last so. */
  private async breathe(): Promise<void> {
    const now = new Date();
    // Where nothing can be written, that is said elsewhere.
    await utimes(this.alive, now, now).catch(() => writeFile(this.alive, "").catch(() => {}));
  }

  private get alive(): string {
    return join(this.config.data, "events", "alive");
  }

  /** Events that an earlier process left open end when it was last known to run. */
  private async endInterrupted(): Promise<void> {
    const lived = await stat(this.alive).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.NaN,
    );
    for (const { time: changed, event } of this.log.openChanges()) {
      const now = Date.now();
      const start = Date.parse(event.start);
      const recorded = await lastRecorded(this.config.data, event.camera);
      // Of a damaged line times may be missing.
      const known = [start, Date.parse(changed), Date.parse(event.peak?.time ?? ""), recorded, lived].filter(
        Number.isFinite,
      );
      const last = known.length > 0 ? Math.min(now, Math.max(...known)) : now;
      const end = new Date(start > last ? start : last).toISOString();
      await this.keep({
        ...{ change: "end", time: new Date(now).toISOString() },
        event: { ...event, end, reason: "the process was interrupted" },
      });
    }
  }

  private async openOutboxes(sinks: ReadonlyMap<string, Sink>): Promise<void> {
    const { config, listener } = this;
    this.sinks = sinks;
    for (const [name, sink] of sinks) {
      const settings = config.sinks.find((one) => one.name === name);
      const filter = settings ? filterOf(settings) : { silent: true };
      const outbox = await Outbox.open({
        ...{ log: this.log, sink, folder: join(config.data, "outbox"), filter },
        ...(!settings && { retry: { first: 0.5, most: 5 } }),
        onResult: (result, { event }, error) => {
          listener.onDelivery?.(name, result);
          if (result === "failed") this.newsOf(name).fails(reasonOf(error));
          if (result === "delivered") this.newsOf(name).works();
          if (result === "expired") listener.onNotice?.("error", name, `the alert ${event.id} was given up`);
        },
        onWarning: (line) => listener.onNotice?.("warn", name, line),
      });
      this.outboxes.set(name, outbox);
    }
  }

  /** Tells those sinks that show the state of cameras. */
  private reportState({ config, status, outcome, picture, decisions }: Camera): void {
    const { level } = outcome ?? {};
    const report = {
      ...{ online: status === "online" || status === "waiting", anomaly: decisions.isAlarmed, picture },
      ...(level !== undefined && Number.isFinite(level) && { level }),
      enabled: !decisions.isPaused,
    };
    for (const sink of this.sinks.values()) sink.report?.(config.id, report);
  }
}

const filterOf = ({ cameras, kinds, changes }: SinkConfig): DeliveryFilter => ({ cameras, kinds, changes });

/**
 * Whether a process that watches can go on with another configuration, see
 * {@link Supervisor.change}.
 */
export function differsInCamerasOnly(present: WatchConfig, next: WatchConfig): boolean {
  const rest = ({ sinks, ...config }: WatchConfig) => ({
    ...{ ...config, cameras: [], secrets: [] },
    sinks: sinks.map((sink) => ({ ...sink, cameras: [] })),
  });
  return isDeepStrictEqual(rest(present), rest(next));
}

/** The cameras that are watched. @throws InputError if there is none */
export function enabledCameras({ cameras }: Pick<WatchConfig, "cameras">): CameraConfig[] {
  const enabled = enabledOf({ cameras });
  if (enabled.length === 0) throw new InputError("no camera is enabled");
  return enabled;
}

const enabledOf = ({ cameras }: Pick<WatchConfig, "cameras">): CameraConfig[] =>
  cameras.filter((camera) => camera.enabled);
