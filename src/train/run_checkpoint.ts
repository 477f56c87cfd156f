// What a training run saves, and what is checked and restored when it is resumed.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { originalExtras } from "../checkpoint/extras.js";
import { mergeStudent } from "../checkpoint/merge.js";
import type { TrainingSettings } from "../checkpoint/settings.js";
import type { TrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { elementCount } from "../graph/graph.js";
import { freshWeights } from "../model/init.js";
import type { Weights } from "../model/network.js";
import { parseTrainingConfig, type TrainingConfig } from "./config.js";
import { ParameterLayout } from "./parameters.js";
import { freshProgress, type Progress, type Schedule } from "./progress.js";
import { parseWay, type ScoringWay } from "./selection.js";
import type { TrainingState } from "./stage.js";
import { freshScaler } from "./training_graph.js";
import type { TrainingSet } from "./training_set.js";

/** Which state of a run a checkpoint holds. `model`: the best teacher with the best student. */
export type CheckpointKind = "latest" | "best" | "best-student" | "model";

/** The checkpoints that a run is resumed from. */
export interface ResumeFrom {
  latest: TrainingCheckpoint;
  /** The best teacher; needed if the run had tested one. */
  best?: Checkpoint;
  /** The best student; needed if the run had tested one. */
  bestStudent?: Checkpoint;
}

/** A model's tensors as flat states, by {@link ParameterLayout}. */
export type ModelState = Pick<TrainingState, "trained" | "running">;

/** What a {@link TrainingRun} is made for. */
export interface TrainingRunOptions {
  config: TrainingConfig;
  schedule: Schedule;
  set: TrainingSet;
  dataset: Dataset;
  /** Name of the data set in checkpoints. */
  datasetName: string;
  /** Weights to begin with; fresh ones by default. */
  init?: Weights;
}

/** A run's progress, its tensors as last read from the GPU, and the best model of each stage. */
export class TrainingRun {
  progress = freshProgress();
  state: TrainingState;
  /** The best teacher. */
  best: ModelState | undefined;
  bestStudent: ModelState | undefined;
  private readonly layout: ParameterLayout;

  /** A run that begins. @throws InputError if the initial weights do not fit the network */
  constructor(private readonly options: TrainingRunOptions) {
    const { config, init } = options;
    this.layout = new ParameterLayout(config.model);
    const { length } = this.layout;
    this.state = {
      ...this.layout.flatten(init ?? freshWeights(config.model, config.seed)),
      moments: [new Float32Array(length), new Float32Array(length)],
      scaler: Float32Array.from(freshScaler),
    };
  }

  /**
   * Continues a saved run.
   * @throws InputError if the checkpoint belongs to another run, or a checkpoint is missing
   */
  restore({ latest, best, bestStudent }: ResumeFrom): void {
    const { checkpoint, optimizer } = latest;
    const { source } = checkpoint;
    const { config, data, progress, scaler } = parseTraining(latest.training, source);
    checkCanResume(config, this.options.config, source);
    const { set, dataset } = this.options;
    if (data !== set.fingerprint) {
      throw new InputError(`${source} was trained on other videos than those of ${dataset.root}`);
    }
    // A run that gets more epochs is not finished any more.
    const isOver = progress.epoch >= this.options.config.epochs;
    // After the last epoch of a run of the teacher alone, the steps of a next stage were counted.
    const isTeacher = this.options.schedule.stageOf(progress.epoch) === 1;
    const stageStep = isTeacher ? progress.step : progress.stageStep;
    this.progress = isOver ? progress : { ...progress, stageStep, maskingsChosen: false, finished: false };
    this.state.scaler.set(scaler);
    Object.assign(this.state, this.layout.flatten(checkpoint.weights));
    for (const { name, offset } of this.layout.tensors()) {
      const moment = optimizer.moments.get(name);
      if (!moment) throw new InputError(`${source} has no moments of ${name}`);
      this.state.moments[0].set(moment.first, offset);
      this.state.moments[1].set(moment.second, offset);
    }
    const flattened = (tested: Checkpoint | undefined, wasTested: boolean): ModelState | undefined => {
      if (tested) return this.layout.flatten(tested.weights);
      if (wasTested) throw new InputError(`${source}: the run's best checkpoints are needed beside it`);
      return undefined;
    };
    this.best = flattened(best, progress.best !== null);
    this.bestStudent = flattened(bestStudent, progress.bestStudent !== null);
  }

  /**
   * Keeps the current model if its figure is the best of its stage so far.
   * @param epoch finished epochs
   * @param way how it is scored, if that was chosen too
   * @returns whether it is
   */
  keepIfBest(epoch: number, stage: 1 | 2, figure: number | undefined, way?: ScoringWay): boolean {
    const key = stage === 1 ? "best" : "bestStudent";
    const { progress, state } = this;
    if (figure === undefined || !(figure > (progress[key]?.figure ?? -1))) return false;
    progress[key] = { epoch, figure, ...(way && { way }) };
    this[key] = { trained: state.trained, running: state.running };
    return true;
  }

  /** The current model. */
  checkpoint(): Checkpoint {
    return this.checkpointOf(this.state);
  }

  /** The current model as it is tested: a student with the best teacher, as it will be used. */
  testedCheckpoint(stage: 1 | 2): Checkpoint {
    return stage === 2 && this.best ? this.withStudent(this.state) : this.checkpoint();
  }

  /** The best teacher with the best student; the current ones if there was no test. */
  modelCheckpoint(): Checkpoint {
    const { best, bestStudent } = this.progress;
    if (this.bestStudent) return this.withStudent(this.bestStudent, bestStudent?.epoch);
    return this.best ? this.checkpointOf(this.best, best?.epoch) : this.checkpointOf(this.state);
  }

  /** How the kept model is scored: by the teacher alone, unless the student's figure is higher. */
  get way(): ScoringWay | undefined {
    const { best, bestStudent } = this.progress;
    return bestStudent?.way && bestStudent.figure > (best?.figure ?? -1) ? bestStudent.way : best?.way;
  }

  /**
   * Scores the kept model by so many maskings. Its figure stays that of one masking: if the run
   * goes on, later epochs are compared with it.
   * @returns which model that is
   */
  setMaskings(maskings: number): { epoch: number; stage: 1 | 2 } {
    const { progress, way } = this;
    const key = way === progress.bestStudent?.way ? "bestStudent" : "best";
    const kept = progress[key];
    if (!kept || !way) throw new Error("no way to score was chosen");
    progress[key] = { ...kept, way: { ...way, maskings } };
    return { epoch: kept.epoch, stage: key === "best" ? 1 : 2 };
  }

  /** A checkpoint with the current optimiser state and progress. */
  asTraining(checkpoint: Checkpoint): TrainingCheckpoint {
    const { state, progress } = this;
    const { config, set } = this.options;
    const moments: TrainingCheckpoint["optimizer"]["moments"] = new Map();
    for (const { name, shape, offset } of this.layout.tensors()) {
      const [first, second] = state.moments.map((flat) => flat.slice(offset, offset + elementCount(shape)));
      moments.set(name, { shape, first, second });
    }
    const training = { config, data: set.fingerprint, progress: { ...progress }, scaler: [...state.scaler] };
    return { checkpoint, optimizer: { moments }, training };
  }

  /** The best teacher with another state's student. */
  private withStudent(state: ModelState, epoch?: number): Checkpoint {
    const model = this.checkpointOf(this.best ?? this.state, epoch);
    const { weights } = this.checkpointOf(state);
    return { ...model, weights: mergeStudent(model.weights, weights).tensors };
  }

  /** @param epoch finished epochs; default: as of now */
  private checkpointOf({ trained, running }: ModelState, epoch?: number): Checkpoint {
    const { config, schedule, datasetName } = this.options;
    const step = epoch === undefined ? this.progress.step : epoch * schedule.stepsPerEpoch;
    const microBatches = config.batch / config.microBatch;
    // Weights that the run began with were trained before; what of their student fits is not known.
    const batches = epoch === 0 ? 1 : step * microBatches;
    const settings: TrainingSettings = {
      maskRatio: config.maskRatio,
      maskingMethod: config.masking === "gradient" ? "grad_masking_v1" : "random_masking",
      inputSize: [config.size.height, config.size.width],
      score: [config.test.norm],
      normPixLoss: config.normalizeTarget,
      onlyMaskedTokens: config.test.maskedOnly,
      dataset: datasetName,
      // As the original counts: finished epochs, from 0.
      ...(step >= schedule.stepsPerEpoch && { epoch: Math.floor(step / schedule.stepsPerEpoch) - 1 }),
      tested: testsOf(config, this.way),
    };
    return {
      config: config.model,
      weights: this.layout.unflatten(trained, running),
      extras: originalExtras(config.model, batches, schedule.studentSteps(step) * microBatches),
      settings,
      source: "training",
      overlaid: 0,
    };
  }
}

/** How models are scored, for their later users: as was chosen, else as they are tested. */
function testsOf({ test }: TrainingConfig, way: ScoringWay | undefined): TrainingSettings["tested"] {
  if (way) return { ...way, normalize: false };
  const { scoring, tokens, topK, minMotion, smoothing, normalize } = test.evaluation;
  return { rule: test.score, scoring, tokens, topK, minMotion, smoothing, normalize, maskings: test.maskings };
}

/**
 * Reads the trainer's part of a checkpoint, {@link TrainingCheckpoint.training}.
 * @param name the checkpoint, for messages
 * @throws InputError if something is missing or has another type
 */
export function parseTraining(
  json: unknown,
  name: string,
): { config: TrainingConfig; data: string; progress: Progress; scaler: number[] } {
  const { config, data, progress, scaler } = (json ?? {}) as Record<string, unknown>;
  if (!Array.isArray(scaler) || scaler.length !== freshScaler.length || !scaler.every(Number.isFinite)) {
    throw new InputError(`${name}: does not say how the loss was scaled`);
  }
  if (typeof data !== "string" || typeof progress !== "object" || progress === null) {
    throw new InputError(`${name}: does not say where training was`);
  }
  return { config: parseTrainingConfig(config, name), data, progress: parseProgress(progress, name), scaler };
}

function parseProgress(json: object, name: string): Progress {
  const found = json as Record<string, unknown>;
  const read = freshProgress();
  for (const key of ["epoch", "stepInEpoch", "step", "stageStep", "lossSum", "seconds"] as const) {
    const value = found[key];
    const whole = key !== "lossSum" && key !== "seconds";
    if (typeof value !== "number" || !(whole ? Number.isInteger(value) && value >= 0 : Number.isFinite(value))) {
      const wanted = whole ? "a whole number from 0" : "a finite number";
      throw new InputError(`${name}: training's ${key} is ${JSON.stringify(value)}, not ${wanted}`);
    }
    read[key] = value;
  }
  for (const key of ["best", "bestStudent"] as const) {
    const value = found[key] as { epoch?: unknown; figure?: unknown; way?: unknown } | null;
    if (value === null) continue;
    const { epoch, figure, way } = value ?? {};
    if (typeof epoch !== "number" || typeof figure !== "number") {
      throw new InputError(`${name}: does not say which epoch was best`);
    }
    read[key] = { epoch, figure, ...(way !== undefined && { way: parseWay(way, name) }) };
  }
  // Checkpoints that are older than these fields lack them.
  for (const key of ["maskingsChosen", "finished"] as const) read[key] = found[key] === true;
  return read;
}

/**
 * Checks that a run can be resumed with these settings: they must be those that it began with. Only
 * a run with a constant learning rate may get more epochs.
 * @param source the checkpoint, for messages
 * @throws InputError that names the settings that differ
 */
export function checkCanResume(began: TrainingConfig, wanted: TrainingConfig, source: string): void {
  // The steps of a constant learning rate do not depend on how many follow.
  const mayExtend = began.schedule === "constant" && wanted.epochs > began.epochs;
  const { epochs } = mayExtend ? wanted : began;
  // A run of the teacher alone stays one.
  const isOfTeacher = mayExtend && began.teacherEpochs === began.epochs && wanted.teacherEpochs === epochs;
  const teacherEpochs = isOfTeacher ? epochs : began.teacherEpochs;
  const differing = differences({ ...began, epochs, teacherEpochs }, wanted, "");
  if (differing.length > 0) {
    const message = (init: string) =>
      `${source}: a run is resumed with the settings that it began with; ${differing.join("; ")} (${init} starts a new run from its weights)`;
    throw new InputError(message("init"), message("--init"));
  }
}

/** One text for each setting that differs. */
function differences(saved: object, wanted: object, path: string): string[] {
  return Object.entries(saved).flatMap(([key, value]) => {
    const other = (wanted as Record<string, unknown>)[key];
    if (typeof value === "object" && value !== null) return differences(value, other ?? {}, `${path}${key}.`);
    return value === other ? [] : [`${path}${key} was ${value}, not ${other}`];
  });
}
