// Which engine scores which camera: cameras of one model and frame size share engines. Cameras come
// and go while others are watched, and change over if another model was learnt for them.
import type { Camera } from "./camera/camera.js";
import type { Kept } from "./camera/known.js";
import { Engine, type EngineOptions } from "./engine/engine.js";
import type { EngineFacts, EngineFrame, EngineSetup } from "./engine/messages.js";
import { Places } from "./engine/places.js";
import type { Memory } from "./memory.js";
import type { Model, Models } from "./models.js";

/** What {@link Engines} is made with. */
export interface EnginesOptions {
  models: Pick<Models, "of" | "isLearnt">;
  memory: Pick<Memory, "recall" | "begin">;
  detector: EngineSetup["detector"];
  /** Whether no frame is left out: for files that are played fast. */
  everyFrame: boolean;
  engine: EngineOptions | undefined;
  /** Takes in a line about something that ended nothing. `from`: a camera, or "engine". */
  onNotice(level: "info" | "warn" | "error", from: string, line: string): void;
  /** An engine cannot run, and is not started again. @param ids of the cameras that it scored */
  onFailed(error: Error, ids: readonly string[]): void;
}

/** The model of a camera. */
export interface CameraModel extends Model {
  /** Whether it was learnt for this camera. */
  isLearnt: boolean;
}

/** An engine, and the cameras that it scores or is to score. */
interface Running {
  engine: Engine;
  /** Its model and frame size. */
  key: string;
  places: Places<Scored>;
}

/** A camera, and where its frames go. */
interface Scored {
  camera: Camera;
  model: Model;
  size: { width: number; height: number };
  at?: Running;
  /** The engine of another model, which the camera gets once it is ready. */
  next?: { model: Model; at: Running };
  /** Hash of a model that no engine could run. */
  refused?: string;
}

/** An engine has at least so many places: cameras may be added while it runs. */
const LEAST_PLACES = 4;

/** The engines of all cameras. */
export class Engines {
  /** Of those that have said that they run. */
  readonly facts = new Map<Engine, EngineFacts>();
  /** By the cameras' ids. */
  private readonly scored = new Map<string, Scored>();
  private readonly running = new Set<Running>();
  private isStarted = false;
  private isClosed = false;

  constructor(private readonly options: EnginesOptions) {}

  /** Whether every camera is scored. */
  get isReady(): boolean {
    const all = [...this.scored.values()];
    return all.length > 0 && all.every(({ at }) => at && this.facts.has(at.engine));
  }

  /** Processes of the engines that run. */
  get pids(): number[] {
    return [...this.running].flatMap(({ engine: { pid } }) => (pid === undefined ? [] : [pid]));
  }

  /** Takes in a camera. After the start its engine scores it at once. @param size of its frames */
  add(camera: Camera, model: Model, size: { width: number; height: number }): void {
    const one: Scored = { camera, model, size };
    this.scored.set(camera.config.id, one);
    if (this.isStarted) this.seat(one);
  }

  /** No more is scored of a camera. @param id the camera's */
  remove(id: string): void {
    const one = this.scored.get(id);
    if (!one) return;
    this.scored.delete(id);
    one.at?.places.leave(one);
    one.next?.at.places.leave(one);
    [one.at, one.next] = [undefined, undefined];
    this.closeIdle();
  }

  /** Of the engine that scores a camera now, if it runs. @param id the camera's */
  factsOf(id: string): EngineFacts | undefined {
    const at = this.scored.get(id)?.at;
    return at && this.facts.get(at.engine);
  }

  /** The model of a camera that was added. @param id the camera's */
  modelOf(id: string): CameraModel {
    const { model } = this.scored.get(id)!;
    return { ...model, isLearnt: this.options.models.isLearnt(model) };
  }

  /** Sends a frame of a camera to its engine. @returns false if it was dropped */
  send(id: string, { number, data }: Omit<EngineFrame, "camera">): boolean {
    const one = this.scored.get(id);
    const frame = one?.at?.places.sent(one, number);
    return frame !== undefined && one!.at!.engine.send({ ...frame, data });
  }

  /** Starts an engine for the cameras of each model and frame size. */
  start(): void {
    this.isStarted = true;
    for (const one of this.scored.values()) this.seat(one);
  }

  /** Starts the engine of a model that was learnt since the last look. */
  async lookAtModels(): Promise<void> {
    for (const [id, one] of this.scored) {
      const { camera, next, model: present } = one;
      const model = await this.options.models.of(camera.config);
      const isKnown = model.hash === (next?.model ?? present).hash || model.hash === one.refused;
      if (isKnown || this.isClosed || this.scored.get(id) !== one) continue;
      next?.at.places.leave(one);
      one.next = undefined;
      if (model.hash !== present.hash) {
        const at = this.placeFor(one, model);
        one.next = { model, at };
        const facts = this.facts.get(at.engine);
        if (facts) await this.begin([one], at, facts);
      }
      this.closeIdle();
    }
  }

  /** Ends all engines. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.running].map(({ engine }) => engine.close()));
  }

  /** Gives a camera a place. */
  private seat(one: Scored): void {
    one.at = this.placeFor(one, one.model);
    if (this.options.models.isLearnt(one.model)) this.tellModel(one);
    const facts = this.facts.get(one.at.engine);
    if (facts) void this.begin([one], one.at, facts);
  }

  /** Takes a place for a camera, of an engine that runs, or else of a new one. */
  private placeFor(one: Scored, model: Model): Running {
    const key = keyOf(model, one.size);
    let at = [...this.running].find((running) => running.key === key && !running.places.isFull);
    if (!at) {
      const waiting = [...this.scored.values()].filter((other) => !other.at && keyOf(other.model, other.size) === key);
      const count = Math.max(1, waiting.length);
      at = this.startEngine(key, model, one.size, this.options.everyFrame ? count : Math.max(LEAST_PLACES, count));
    }
    at.places.take(one);
    return at;
  }

  private startEngine(key: string, { paths }: Model, size: Scored["size"], count: number): Running {
    const { detector, everyFrame, engine: how, onNotice } = this.options;
    const setup = { checkpoint: paths, places: count, ...size, detector, everyFrame };
    const places = new Places<Scored>(count);
    const engine: Engine = new Engine(
      setup,
      {
        onReady: (facts) => void this.ready(running, facts),
        onScore: (score) => {
          const { camera: one, number } = places.scored(score.camera, score.number) ?? {};
          if (one?.at === running) one.camera.score({ ...score, number: number! });
        },
        onNotice: (line) => onNotice("info", "engine", line),
        onLost: (why, final) => this.lost(running, why, final),
      },
      how,
    );
    const running = { engine, key, places };
    this.running.add(running);
    return running;
  }

  private async ready(at: Running, facts: EngineFacts): Promise<void> {
    this.options.onNotice("info", "engine", `runs on ${facts.adapter}`);
    const { cameras } = at.places;
    await this.begin(cameras, at, facts);
    const late = at.places.cameras.filter((one) => !cameras.includes(one));
    if (late.length > 0) await this.begin(late, at, facts);
  }

  /** Cameras of an engine that is ready go on with what was kept for it. */
  private async begin(cameras: readonly Scored[], at: Running, facts: EngineFacts): Promise<void> {
    const { memory, onNotice } = this.options;
    const isMine = (one: Scored) => one.at === at || one.next?.at === at;
    const kept = new Map<Scored, Kept>();
    for (const one of cameras.filter(isMine)) kept.set(one, await memory.recall(one.camera, facts));
    if (!this.running.has(at)) return;
    // From here on at once, so that nothing that was learnt is kept under another model.
    this.facts.set(at.engine, facts);
    for (const one of cameras.filter(isMine)) {
      const { camera, next } = one;
      const isNext = next?.at === at;
      if (isNext) this.moveTo(one, next);
      const known = kept.get(one) ?? { modes: {}, references: {} };
      memory.begin(camera, known);
      camera.ready(facts.settings, known.modes, isNext ? "the camera has another model" : undefined);
      if (camera.decisions.threshold !== undefined) continue;
      const line = "learns what is normal; no anomalies for ten minutes of scored video";
      onNotice("info", camera.config.id, line);
    }
  }

  /** Gives a camera to the engine of another model. */
  private moveTo(one: Scored, { model, at }: NonNullable<Scored["next"]>): void {
    one.at?.places.leave(one);
    Object.assign(one, { model, at, next: undefined });
    this.tellModel(one);
    this.closeIdle();
  }

  /** Ends engines that no camera uses. */
  private closeIdle(): void {
    for (const idle of this.running) {
      if (idle.places.cameras.length > 0) continue;
      this.running.delete(idle);
      this.facts.delete(idle.engine);
      void idle.engine.close();
    }
  }

  private tellModel({ camera, model: { paths, hash } }: Scored): void {
    const line = `uses the model ${paths.join(" and ")} (${hash.slice(0, 8)})`;
    this.options.onNotice("info", camera.config.id, line);
  }

  private lost(at: Running, why: string, final: boolean): void {
    const { onNotice, onFailed } = this.options;
    this.facts.delete(at.engine);
    const users = at.places.cameras.filter((one) => one.at === at);
    if (final && users.length === 0) {
      this.running.delete(at);
      for (const one of at.places.cameras) {
        Object.assign(one, { next: undefined, refused: one.next?.model.hash });
        onNotice("warn", one.camera.config.id, `the new model is not used: ${why}`);
      }
      return;
    }
    for (const one of users) one.camera.blind();
    onNotice("error", "engine", final ? why : `${why}; it starts again`);
    if (!final) return;
    // Cameras that come later get another one.
    this.running.delete(at);
    const ids = users.map(({ camera }) => camera.config.id);
    onFailed(new Error(why), ids);
  }
}

/** What cameras of one engine have in common. */
const keyOf = ({ hash }: Model, { width, height }: Scored["size"]): string => `${hash} ${width}x${height}`;
