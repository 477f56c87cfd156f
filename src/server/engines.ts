// Which engine scores which camera: one for each model and frame size. Cameras change over while
// they are watched, if another model was learnt for them.
import type { Camera } from "./camera/camera.js";
import type { Kept } from "./camera/known.js";
import { Engine, type EngineOptions } from "./engine/engine.js";
import type { EngineFacts, EngineFrame, EngineSetup } from "./engine/messages.js";
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
  /** An engine cannot run: nothing is scored any more. */
  onFailed(error: Error): void;
}

/** The model of a camera. */
export interface CameraModel extends Model {
  /** Whether it was learnt for this camera. */
  isLearnt: boolean;
}

/** A camera, and where its frames go. */
interface Scored {
  camera: Camera;
  model: Model;
  size: { width: number; height: number };
  engine?: Engine;
  /** Its position among the cameras of its engine. */
  index: number;
  /** The engine of another model, which the camera gets once it is ready. */
  next?: { model: Model; engine: Engine };
  /** Hash of a model that no engine could run. */
  refused?: string;
}

/** The engines of all cameras. */
export class Engines {
  /** Of those that have said that they run. */
  readonly facts = new Map<Engine, EngineFacts>();
  /** By the cameras' ids. */
  private readonly scored = new Map<string, Scored>();
  private readonly running: Engine[] = [];
  private isClosed = false;

  constructor(private readonly options: EnginesOptions) {}

  /** Whether every engine scores. */
  get isReady(): boolean {
    return this.running.length > 0 && this.running.every((engine) => this.facts.has(engine));
  }

  /** Processes of the engines that run. */
  get pids(): number[] {
    return this.running.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** Takes in a camera, before the start. @param size of its frames */
  add(camera: Camera, model: Model, size: { width: number; height: number }): void {
    this.scored.set(camera.config.id, { camera, model, size, index: 0 });
  }

  /** Of the engine that scores a camera now, if it runs. @param id the camera's */
  factsOf(id: string): EngineFacts | undefined {
    const engine = this.scored.get(id)?.engine;
    return engine && this.facts.get(engine);
  }

  /** The model of a camera that was added. @param id the camera's */
  modelOf(id: string): CameraModel {
    const { model } = this.scored.get(id)!;
    return { ...model, isLearnt: this.options.models.isLearnt(model) };
  }

  /** Sends a frame of a camera to its engine. @returns false if it was dropped */
  send(id: string, frame: Omit<EngineFrame, "camera">): boolean {
    const { engine, index } = this.scored.get(id) ?? {};
    return engine?.send({ camera: index!, ...frame }) ?? false;
  }

  /** Starts an engine for the cameras of each model and frame size. */
  start(): void {
    const groups = new Map<string, Scored[]>();
    for (const one of this.scored.values()) {
      const { size, model } = one;
      if (this.options.models.isLearnt(model)) this.tellModel(one);
      const key = `${model.hash} ${size.width}x${size.height}`;
      groups.set(key, [...(groups.get(key) ?? []), one]);
    }
    for (const group of groups.values()) {
      const engine = this.startEngine(group, group[0].model);
      this.running.push(engine);
      for (const [index, one] of group.entries()) Object.assign(one, { engine, index });
    }
  }

  /** Starts the engine of a model that was learnt since the last look. */
  async lookAtModels(): Promise<void> {
    for (const one of this.scored.values()) {
      const { camera, next, model: present } = one;
      const model = await this.options.models.of(camera.config);
      const isKnown = model.hash === (next?.model ?? present).hash || model.hash === one.refused;
      if (isKnown || this.isClosed) continue;
      one.next = undefined;
      void next?.engine.close();
      if (model.hash !== present.hash) one.next = { model, engine: this.startEngine([one], model) };
    }
  }

  /** Ends all engines. */
  async close(): Promise<void> {
    this.isClosed = true;
    const coming = [...this.scored.values()].flatMap(({ next }) => (next ? [next.engine] : []));
    await Promise.all([...this.running, ...coming].map((engine) => engine.close()));
  }

  private startEngine(group: readonly Scored[], { paths }: Model): Engine {
    const { detector, everyFrame, engine: how, onNotice } = this.options;
    const cameras = group.map(({ camera }) => camera.config.id);
    const setup = { checkpoint: paths, cameras, ...group[0].size, detector, everyFrame };
    const engine: Engine = new Engine(
      setup,
      {
        onReady: (facts) => void this.ready(engine, facts, group),
        onScore: (score) => {
          const one = group[score.camera];
          if (one?.engine === engine) one.camera.score(score);
        },
        onNotice: (line) => onNotice("info", "engine", line),
        onLost: (why, final) => this.lost(engine, why, final, group),
      },
      how,
    );
    return engine;
  }

  private async ready(engine: Engine, facts: EngineFacts, group: readonly Scored[]): Promise<void> {
    const { memory, onNotice } = this.options;
    onNotice("info", "engine", `runs on ${facts.adapter}`);
    const isMine = ({ engine: present, next }: Scored) => present === engine || next?.engine === engine;
    const kept = new Map<Scored, Kept>();
    for (const one of group.filter(isMine)) kept.set(one, await memory.recall(one.camera, facts));
    // From here on at once, so that nothing that was learnt is kept under another model.
    for (const one of group.filter(isMine)) {
      this.facts.set(engine, facts);
      const { camera, next } = one;
      const isNext = next?.engine === engine;
      if (isNext) this.moveTo(one, next);
      const known = kept.get(one) ?? { modes: {}, references: {} };
      memory.begin(camera, known);
      camera.ready(facts.settings, known.modes, isNext ? "the camera has another model" : undefined);
      if (camera.decisions.threshold !== undefined) continue;
      const line = "learns what is normal; no anomalies for ten minutes of scored video";
      onNotice("info", camera.config.id, line);
    }
  }

  /** Gives a camera to the engine of another model, and ends engines that no camera uses. */
  private moveTo(one: Scored, { model, engine }: NonNullable<Scored["next"]>): void {
    Object.assign(one, { model, engine, index: 0, next: undefined });
    this.running.push(engine);
    this.tellModel(one);
    const used = new Set([...this.scored.values()].map((other) => other.engine));
    for (const idle of this.running.filter((other) => !used.has(other))) {
      this.running.splice(this.running.indexOf(idle), 1);
      this.facts.delete(idle);
      void idle.close();
    }
  }

  private tellModel({ camera, model: { paths, hash } }: Scored): void {
    const line = `uses the model ${paths.join(" and ")} (${hash.slice(0, 8)})`;
    this.options.onNotice("info", camera.config.id, line);
  }

  private lost(engine: Engine, why: string, final: boolean, group: readonly Scored[]): void {
    const { onNotice, onFailed } = this.options;
    this.facts.delete(engine);
    const next = group.find((one) => one.next?.engine === engine);
    if (next && final) {
      Object.assign(next, { next: undefined, refused: next.next?.model.hash });
      onNotice("warn", next.camera.config.id, `the new model is not used: ${why}`);
      return;
    }
    for (const one of group) if (one.engine === engine) one.camera.blind();
    onNotice("error", "engine", final ? why : `${why}; it starts again`);
    if (final) onFailed(new Error(why));
  }
}
