// The watch process: cameras, the engine, the event log, and who hears of events. WebGPU is in the
// engine's process only, so that a crash of a driver stops no alert.
import { join } from "node:path";
import { comparable } from "../detector/settings.js";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { Camera, type PlayOptions } from "./camera/camera.js";
import type { Outcome } from "./camera/decisions.js";
import { changeKnown, type Kept, readKnown, removeKnown, type ScoredBy, writeKnown } from "./camera/known.js";
import { misfitOf, type NormalState } from "./camera/learner.js";
import { removeKept } from "./camera/normal_keeper.js";
import { normalFolder } from "./camera/normal_video.js";
import { rescueClips } from "./camera/rescue.js";
import type { CameraConfig, WatchConfig } from "./config/config.js";
import { Engine, type EngineOptions } from "./engine/engine.js";
import type { EngineFacts, EngineSetup } from "./engine/messages.js";
import { EventLog, newEventId } from "./event_log.js";
import { Feedback } from "./feedback.js";
import { type Model, Models, sizeOf } from "./models.js";
import { type DeliveryResult, Outbox } from "./outbox.js";
import type { EventChange, Sink } from "./records.js";
import { SinkNews } from "./sink_news.js";
import { freeBytes, keepWithin, removeUnfinished } from "./storage.js";

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
}

/** Seconds between looks at the disk's free space: another program may fill it fast. */
const LOOK_AT_DISK = 2;
/** Seconds between looks at all clips, which may be many; and while there is too little space. */
const LOOK_AT_CLIPS = 60;
const MAKE_SPACE = 10;
/** Seconds between reports of the state of cameras. */
const REPORT_STATE = 2;
/** Seconds between copies of what cameras have learnt, and by which share that must have grown. */
const REMEMBER = 60;
const MORE = 0.02;
/** Seconds between looks for models that were learnt. */
const LOOK_AT_MODELS = 10;

/** A camera, and where its frames go. */
interface Watched {
  camera: Camera;
  engine: () => Engine | undefined;
  /** Its position among the cameras of its engine. */
  index: number;
  size: { width: number; height: number };
  model: Model;
  /** The engine of another model, which the camera gets once it is ready. */
  next?: { model: Model; engine: Engine };
  /** Seconds of video that the last copy of what it has learnt was made of. */
  kept: number;
  /** Hash of a model that no engine could run. */
  refused?: string;
}

/** Everything that watches. */
export class Supervisor {
  readonly cameras: readonly Camera[];
  /** Of the engines that have said that they run. */
  readonly facts = new Map<Engine, EngineFacts>();
  /** Bytes of clips. */
  clipBytes = 0;
  private readonly watched: Watched[];
  private readonly engines: Engine[] = [];
  private readonly outboxes = new Map<string, Outbox>();
  private readonly feedback: Feedback;
  private sinks: ReadonlyMap<string, Sink> = new Map();
  private readonly sinkNews = new Map<string, SinkNews>();
  private failure: Error | undefined;
  private lookedAtClips = Number.NEGATIVE_INFINITY;
  /** Whether clips may be recorded. */
  private hasRoom = true;
  private isEnding = false;
  private remembering: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();

  private constructor(
    readonly config: WatchConfig,
    readonly log: EventLog,
    private readonly models: Models,
    chosen: ReadonlyMap<CameraConfig, Model>,
    private readonly options: SupervisorOptions,
    private readonly listener: SupervisorListener,
  ) {
    this.feedback = new Feedback(config.data, (camera, line) => listener.onNotice?.("warn", camera, line));
    this.watched = [...chosen].map(([camera, model]) => this.watch(camera, model));
    this.cameras = this.watched.map(({ camera }) => camera);
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
    const { detector = {}, checkpoint } = options;
    const cameras = enabledCameras(config);
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

  /** Whether every engine scores. */
  get isReady(): boolean {
    return this.engines.length > 0 && this.engines.every((engine) => this.facts.has(engine));
  }

  /** Processes of the engines that run. */
  get enginePids(): number[] {
    return this.engines.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** What was learnt of a camera in the mode that it shows now. @param camera its id */
  learnt(camera: string): NormalState | undefined {
    return this.cameras.find(({ config }) => config.id === camera)?.decisions.learnt;
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
   * Watches until the signal ends it, or all cameras are files that have ended.
   * @param sinks where changes are sent, by the configuration's names
   * @throws Error if the engine cannot run with this checkpoint or on this machine
   */
  async run(sinks: ReadonlyMap<string, Sink>, signal: AbortSignal): Promise<void> {
    const all = AbortSignal.any([signal, this.stop.signal]);
    await removeUnfinished(join(this.config.data, "clips"));
    await this.endInterrupted();
    await this.openOutboxes(sinks);
    await this.lookAtDisk();
    const rescue = await rescueClips({
      ...{ data: this.config.data, hasRoom: this.hasRoom, events: () => this.log.events() },
      keep: (change) => this.keep(change),
      warn: (camera, line) => this.listener.onNotice?.("warn", camera, line),
    });
    this.startEngines();
    const disk = setInterval(() => void this.lookAtDisk(), (1000 * LOOK_AT_DISK) / this.pace);
    const states = setInterval(() => this.reportStates(sinks), 1000 * REPORT_STATE);
    const learning = setInterval(() => void this.rememberAll(MORE), 1000 * REMEMBER);
    const models = setInterval(() => void this.lookAtModels(), 1000 * (this.options.lookAtModels ?? LOOK_AT_MODELS));
    try {
      await Promise.all(this.cameras.map((camera) => camera.run(all)));
    } finally {
      clearInterval(disk);
      clearInterval(states);
      clearInterval(learning);
      clearInterval(models);
      this.isEnding = true;
      this.reportStates(sinks);
      await this.rememberAll();
      const coming = this.watched.flatMap(({ next }) => (next ? [next.engine] : []));
      await Promise.all([...this.engines, ...coming].map((engine) => engine.close()));
      await rescue.done;
    }
    if (this.failure) throw this.failure;
  }

  /**
   * Somebody says that an event was a false alarm: its clip is kept as normal video of the camera;
   * or takes that back.
   * @throws InputError if there is no such event, or its clip cannot be copied
   */
  async markNormal(id: string, isNormal = true): Promise<void> {
    const event = (await this.log.events()).find((one) => one.id === id);
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
    await this.inTurn(async () => {
      await removeKnown(this.folderOf(camera));
      camera.decisions.forget();
    });
    this.listener.onNotice?.("info", id, "forgot what was learnt, and learns it again");
  }

  /** Ends deliveries and closes the log. What is not delivered goes out after the next start. */
  async close(): Promise<void> {
    await Promise.all([...this.outboxes.values()].map((outbox) => outbox.close({ grace: 3 })));
    await this.log.close();
  }

  private watch(config: CameraConfig, model: Model): Watched {
    const { listener } = this;
    const size = sizeOf(config, model);
    const watched: Watched = { engine: () => undefined, index: 0, size, model, kept: 0, camera: undefined! };
    const host = {
      ...{ data: this.config.data, size, newId: newEventId },
      send: (frame: { number: number; data: Uint8Array }) =>
        watched.engine()?.send({ camera: watched.index, ...frame }) ?? false,
      keep: (change: EventChange) => this.keep(change),
      canRecord: () => this.hasRoom,
      learnt: (mode: "day" | "infrared", state: NormalState) => {
        const { seconds, threshold } = state;
        const line = `learnt from ${Math.round(seconds / 60)} min of video: the threshold is ${threshold.toPrecision(3)}`;
        listener.onNotice?.("info", config.id, mode === "day" ? line : `${line} (infrared)`);
        const problem = misfitOf(state, watched.model.settings);
        if (problem !== undefined) listener.onNotice?.("warn", config.id, problem);
        void this.remember(watched);
      },
      show: (outcome: Outcome) => listener.onOutcome?.(watched.camera, outcome),
      warn: (line: string) => listener.onNotice?.("warn", config.id, line),
    };
    watched.camera = new Camera(config, host, this.options.play);
    return watched;
  }

  /** Keeps a change, then tells everyone. */
  private async keep(news: EventChange): Promise<void> {
    const change = this.feedback.carry(news);
    await this.log.append(change);
    for (const outbox of this.outboxes.values()) outbox.notify();
    this.listener.onChange?.(change);
    await this.feedback.kept(change);
  }

  /** Events that an earlier process left open end now. */
  private async endInterrupted(): Promise<void> {
    for (const event of this.log.openEvents()) {
      const time = new Date().toISOString();
      await this.keep({
        ...{ change: "end", time },
        event: { ...event, end: time, reason: "the process was interrupted" },
      });
    }
  }

  private async openOutboxes(sinks: ReadonlyMap<string, Sink>): Promise<void> {
    const { config, listener } = this;
    this.sinks = sinks;
    for (const { name, cameras, kinds, changes } of config.sinks) {
      const sink = sinks.get(name);
      if (!sink) continue;
      const outbox = await Outbox.open({
        ...{ log: this.log, sink, folder: join(config.data, "outbox"), filter: { cameras, kinds, changes } },
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

  /** An engine for the cameras of each model and frame size. */
  private startEngines(): void {
    const groups = new Map<string, Watched[]>();
    for (const watched of this.watched) {
      const { size, model } = watched;
      if (this.models.isLearnt(model)) this.tellModel(watched);
      const key = `${model.hash} ${size.width}x${size.height}`;
      groups.set(key, [...(groups.get(key) ?? []), watched]);
    }
    for (const group of groups.values()) {
      const engine = this.startEngine(group, group[0].model);
      this.engines.push(engine);
      for (const [index, watched] of group.entries()) Object.assign(watched, { engine: () => engine, index });
    }
  }

  private startEngine(group: readonly Watched[], { paths }: Model): Engine {
    const { listener } = this;
    const { detector = {}, engine: engineOptions } = this.options;
    const cameras = group.map(({ camera }) => camera.config.id);
    const setup = {
      checkpoint: paths,
      cameras,
      ...group[0].size,
      detector,
      everyFrame: this.options.play?.fast ?? false,
    };
    const engine: Engine = new Engine(
      setup,
      {
        onReady: (facts) => void this.engineReady(engine, facts, group),
        onScore: (score) => {
          const watched = group[score.camera];
          if (watched?.engine() === engine) watched.camera.score(score);
        },
        onNotice: (line) => listener.onNotice?.("info", "engine", line),
        onLost: (why, final) => this.engineLost(engine, why, final, group),
      },
      engineOptions,
    );
    return engine;
  }

  private async engineReady(engine: Engine, facts: EngineFacts, group: readonly Watched[]): Promise<void> {
    this.listener.onNotice?.("info", "engine", `runs on ${facts.adapter}`);
    const isMine = ({ engine: of, next }: Watched) => of() === engine || next?.engine === engine;
    const kept = new Map<Watched, Kept>();
    for (const watched of group.filter(isMine)) kept.set(watched, await this.keptOf(watched, facts));
    // From here on at once, so that nothing that was learnt is kept under another model.
    for (const watched of group.filter(isMine)) {
      this.facts.set(engine, facts);
      const { camera, next } = watched;
      const isNext = next?.engine === engine;
      watched.kept = 0;
      if (isNext) this.moveTo(watched, next);
      const { modes, references } = kept.get(watched) ?? { modes: {}, references: {} };
      camera.decisions.view.begin(references, this.options.calibrate !== undefined);
      camera.ready(facts.settings, modes, isNext ? "the camera has another model" : undefined);
      if (camera.decisions.threshold !== undefined) continue;
      const line = "learns what is normal; no anomalies for ten minutes of scored video";
      this.listener.onNotice?.("info", camera.config.id, line);
    }
  }

  /** What was kept of a camera, for an engine's model and settings. */
  private async keptOf(watched: Watched, facts: EngineFacts): Promise<Kept> {
    await this.remember(watched);
    const { camera } = watched;
    // An engine that starts again goes on with what this process has learnt.
    if (this.options.calibrate?.fresh) return { modes: camera.decisions.known, references: {} };
    const [folder, by] = [this.folderOf(camera), scoredBy(facts)];
    return this.inTurn(async () => {
      await changeKnown(folder, by);
      return readKnown(folder, by);
    }).catch((error: unknown): Kept => {
      this.listener.onNotice?.("warn", camera.config.id, reasonOf(error));
      return { modes: {}, references: {} };
    });
  }

  /** Gives a camera to the engine of another model, and ends engines that no camera uses. */
  private moveTo(watched: Watched, { model, engine }: NonNullable<Watched["next"]>): void {
    Object.assign(watched, { model, engine: () => engine, index: 0, next: undefined });
    this.engines.push(engine);
    this.tellModel(watched);
    const idle = this.engines.filter((one) => this.watched.every(({ engine: of }) => of() !== one));
    for (const one of idle) {
      this.engines.splice(this.engines.indexOf(one), 1);
      this.facts.delete(one);
      void one.close();
    }
  }

  private tellModel({ camera, model: { paths, hash } }: Watched): void {
    this.listener.onNotice?.("info", camera.config.id, `uses the model ${paths.join(" and ")} (${hash.slice(0, 8)})`);
  }

  /** Starts the engine of a model that was learnt since the last look. */
  private async lookAtModels(): Promise<void> {
    for (const watched of this.watched) {
      const { camera, next, model: present } = watched;
      const model = await this.models.of(camera.config);
      const isKnown = model.hash === (next?.model ?? present).hash || model.hash === watched.refused;
      if (isKnown || this.isEnding) continue;
      watched.next = undefined;
      void next?.engine.close();
      if (model.hash !== present.hash) watched.next = { model, engine: this.startEngine([watched], model) };
    }
  }

  private engineLost(engine: Engine, why: string, final: boolean, group: readonly Watched[]): void {
    this.facts.delete(engine);
    const next = group.find((watched) => watched.next?.engine === engine);
    if (next && final) {
      Object.assign(next, { next: undefined, refused: next.next?.model.hash });
      this.listener.onNotice?.("warn", next.camera.config.id, `the new model is not used: ${why}`);
      return;
    }
    for (const watched of group) if (watched.engine() === engine) watched.camera.blind();
    this.listener.onNotice?.("error", "engine", final ? why : `${why}; it starts again`);
    if (!final) return;
    this.failure = new Error(why);
    this.stop.abort();
  }

  /** @param more by which share there must be more than in the last copy */
  private async rememberAll(more = 0): Promise<void> {
    const changed = this.watched.filter(({ camera: { decisions }, kept }) => {
      return decisions.view.hasLearnt || decisions.seconds > (1 + more) * kept;
    });
    await Promise.all(changed.map((watched) => this.remember(watched)));
  }

  /** Keeps what a camera has learnt. */
  private remember(watched: Watched): Promise<void> {
    const { camera, engine } = watched;
    return this.inTurn(async () => {
      const running = engine();
      const facts = running && this.facts.get(running);
      const { known: modes, view, seconds } = camera.decisions;
      if (!facts || (Object.keys(modes).length === 0 && !view.hasLearnt)) return;
      const { references } = view;
      watched.kept = seconds;
      view.hasLearnt = false;
      await writeKnown(this.folderOf(camera), scoredBy(facts), { modes, references }).catch((error: unknown) => {
        // That the disk is full was said.
        if (this.hasRoom) this.listener.onNotice?.("warn", camera.config.id, reasonOf(error));
      });
    });
  }

  /** Reads and writes what was learnt, one after the other. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.remembering.then(work);
    this.remembering = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  private folderOf(camera: Camera): string {
    return join(this.config.data, "cameras", camera.config.id);
  }

  /** Tells those sinks that show the state of cameras. */
  private reportStates(sinks: ReadonlyMap<string, Sink>): void {
    for (const sink of sinks.values()) {
      for (const { config, status, outcome, picture, decisions } of this.cameras) {
        const { level } = outcome ?? {};
        sink.report?.(config.id, {
          ...{ online: status === "online", anomaly: decisions.isAlarmed, picture },
          ...(level !== undefined && Number.isFinite(level) && { level }),
          enabled: !decisions.isPaused,
        });
      }
    }
  }

  /** Files that are played fast bring more clips. */
  private get pace(): number {
    return this.options.play?.fast ? 10 : 1;
  }

  private async lookAtDisk(): Promise<void> {
    const { data, reserve } = this.config;
    const every = (await freeBytes(data)) < reserve ? MAKE_SPACE : LOOK_AT_CLIPS;
    if (performance.now() - this.lookedAtClips >= (1000 * every) / this.pace) await this.lookAtClips();
    const free = await freeBytes(data);
    // Some distance between the two, so that it does not change all the time.
    const hasRoom = this.hasRoom ? free >= reserve : free >= 1.5 * reserve;
    if (hasRoom !== this.hasRoom) {
      this.hasRoom = hasRoom;
      const line = hasRoom
        ? "there is room for clips again"
        : "the disk is nearly full: clips and pictures stop, events go on";
      this.listener.onNotice?.(hasRoom ? "info" : "error", "storage", line);
      for (const camera of this.cameras) camera.roomChanged();
    }
  }

  /** Counts the clips, and deletes what is beyond the quota. */
  private async lookAtClips(): Promise<void> {
    this.lookedAtClips = performance.now();
    const { data, keep, reserve } = this.config;
    const { bytes, deleted } = await keepWithin(join(data, "clips"), { ...keep, reserve });
    this.clipBytes = bytes;
    const oldest = Date.now() - 86_400_000 * keep.days;
    for (const { config } of this.cameras) await removeKept(normalFolder(data, config.id), oldest);
    if (deleted > 0) this.listener.onNotice?.("info", "storage", `the clips of ${deleted} old events were deleted`);
  }
}

/** The cameras that are watched. @throws InputError if there is none */
export function enabledCameras({ cameras }: WatchConfig): CameraConfig[] {
  const enabled = cameras.filter((camera) => camera.enabled);
  if (enabled.length === 0) throw new InputError("no camera is enabled");
  return enabled;
}

/** What learnt levels hold for. */
export const scoredBy = ({ model, settings }: EngineFacts): ScoredBy => ({ model, settings: comparable(settings) });
