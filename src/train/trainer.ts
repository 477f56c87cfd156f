import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { originalExtras } from "../checkpoint/extras.js";
import { mergeStudent } from "../checkpoint/merge.js";
import type { TrainingSettings } from "../checkpoint/settings.js";
import type { TrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import type { Dataset } from "../data/dataset.js";
import { InputError } from "../errors.js";
import type { EvaluationResult } from "../eval/evaluation.js";
import { type Gpu, openNavigatorGpu } from "../gpu/gpu.js";
import { elementCount } from "../graph/graph.js";
import { freshWeights } from "../model/init.js";
import type { Weights } from "../model/network.js";
import { FirstUse } from "../tuner/first_use.js";
import { checkTrainingConfig, parseTrainingConfig, type TrainingConfig } from "./config.js";
import { type FrameArchive, MemoryArchive } from "./frame_archive.js";
import { ParameterLayout } from "./parameters.js";
import { type DrawnSample, Sampler } from "./sampler.js";
import { largestMicroBatch, type MemoryBudget, Stage, type TrainingState } from "./stage.js";
import { freshScaler } from "./training_graph.js";
import { type OnLoad, TrainingSet } from "./training_set.js";
import { validate } from "./validate.js";

/** What is known after a step of the optimiser. Epochs and steps count from 1, steps through all epochs. */
export interface StepReport {
  epoch: number;
  stage: 1 | 2;
  step: number;
  /** Steps of all epochs. */
  steps: number;
  loss: number;
  learningRate: number;
  /** Samples of the step. */
  samples: number;
  /** Seconds of training so far, resumed runs included. */
  seconds: number;
}

/** What is known after an epoch. */
export interface EpochReport {
  epoch: number;
  stage: 1 | 2;
  /** Mean over its steps. */
  loss: number;
  steps: number;
  seconds: number;
}

/** What is known after a test. */
export interface TestReport {
  epoch: number;
  stage: 1 | 2;
  result: EvaluationResult;
  /** Whether it is the best of its stage so far, by micro-AUC. */
  best: boolean;
  seconds: number;
}

/** A checkpoint that is worth keeping: the last one, the best teacher, the best student, and what they are together: the model. */
export type CheckpointKind = "latest" | "best" | "best-student" | "model";

export interface TrainOptions {
  /** The device to train on, which the caller closes; by default one of its own. */
  gpu?: Gpu;
  /**
   * Receives one line for what is checked by itself: float16, where mixed precision needs it and it
   * may be wrong.
   */
  onNotice?: (line: string) => void;
  /** Where decoded frames are kept beside the GPU; by default in memory. Whoever gives one closes it. */
  archive?: FrameArchive;
  /** Goes on from a checkpoint of the same configuration and data; `best` and `bestStudent` are the run's others, as far as there are such. */
  resume?: { latest: TrainingCheckpoint; best?: Checkpoint; bestStudent?: Checkpoint };
  /** Weights to begin with, in place of fresh ones. */
  init?: Weights;
  /** Name of the data set that goes into checkpoints. */
  datasetName?: string;
  memory?: Partial<MemoryBudget>;
  /** Stops after the step that runs: saves, then throws the signal's reason. */
  signal?: AbortSignal;
  /** Called before a stage's kernels are compiled, with the steps that are done, of how many, and the samples of each. */
  onStage?: (stage: 1 | 2, step: number, steps: number, samples: number) => void;
  onStep?: (report: StepReport) => void;
  onEpoch?: (report: EpochReport) => void;
  onTest?: (report: TestReport) => void;
  /** Called after each frame of a test. */
  onTestFrame?: () => void;
  onLoad?: OnLoad;
  /** Called with each checkpoint that is worth keeping; training goes on when it is kept. */
  onCheckpoint?: (kind: CheckpointKind, checkpoint: TrainingCheckpoint) => Promise<void> | void;
  /** Seconds between checkpoints within an epoch; there is one after each epoch in any case. Default 300. */
  saveEvery?: number;
}

/** What training came to. */
export interface TrainResult {
  /** The best teacher with the best student; the last ones where nothing could be tested. */
  checkpoint: Checkpoint;
  /** The epochs and tests since it was resumed, if it was. */
  epochs: EpochReport[];
  tests: TestReport[];
  /** The epoch that was best in each stage, of the whole run. */
  best?: { epoch: number; microAuc: number };
  bestStudent?: { epoch: number; microAuc: number };
}

/** The loss is no number any more, or what was learnt is none. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";

  constructor(
    readonly step: number,
    readonly epoch: number,
    what: string,
  ) {
    super(
      `${what} at step ${step}, in epoch ${epoch}: training has diverged; a lower learning rate, some epochs of warm-up, or float32 in place of mixed precision may help`,
    );
  }
}

/** Where a run is. */
interface Progress {
  /** The epoch that runs, from 0. */
  epoch: number;
  /** Steps of it that are done. */
  stepInEpoch: number;
  /** Steps of all epochs that are done. */
  step: number;
  /** Steps of this stage that are done. */
  stageStep: number;
  /** Sum of the losses of this epoch's steps. */
  lossSum: number;
  seconds: number;
  /** The best test of each stage. */
  best: { epoch: number; microAuc: number } | null;
  bestStudent: { epoch: number; microAuc: number } | null;
}

const start: Progress = {
  ...{ epoch: 0, stepInEpoch: 0, step: 0, stageStep: 0, lossSum: 0, seconds: 0 },
  ...{ best: null, bestStudent: null },
};

/**
 * Trains a model: the teacher, then its student, on the training videos of a data set; tests it on the labelled test videos. The same
 * configuration, data and adapter give the same bits, whether the run was stopped and resumed or not.
 * @throws InputError for settings or data that cannot be used, DivergedError where the loss is no number any more, GpuError, the signal's reason
 */
export async function train(
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainOptions = {},
): Promise<TrainResult> {
  checkTrainingConfig(config);
  if (options.init) new ParameterLayout(config.model).flatten(options.init); // before videos are decoded for nothing
  const gpu = options.gpu ?? (await openNavigatorGpu());
  const archive = options.archive ?? new MemoryArchive();
  try {
    if (config.precision === "mixed") await new FirstUse(gpu, { onNotice: options.onNotice }).checkHalf("f16");
    const { anomalies } = config;
    const set = await TrainingSet.load(dataset, { archive, anomalies, signal: options.signal, onLoad: options.onLoad });
    const trainer = new Trainer(config, dataset, set, gpu, options);
    return await trainer.run();
  } finally {
    if (!options.archive) await archive.close();
    if (!options.gpu) gpu.close();
  }
}

class Trainer {
  private readonly config: TrainingConfig;
  private readonly layout: ParameterLayout;
  private readonly sampler: Sampler;
  private readonly budget: MemoryBudget;
  private readonly stepsPerEpoch: number;
  private progress: Progress = structuredClone(start);
  private state: TrainingState;
  /** The best teacher's. */
  private best: Pick<TrainingState, "trained" | "running"> | undefined;
  private bestStudent: Pick<TrainingState, "trained" | "running"> | undefined;
  private stage: Stage | undefined;
  /** Steps that were submitted and have not been reported. */
  private readonly pending: { report: Omit<StepReport, "loss" | "seconds">; loss: Promise<number> }[] = [];
  private readonly epochs: EpochReport[] = [];
  private readonly tests: TestReport[] = [];
  /** Samples that were drawn ahead, for the step after `step` others. */
  private drawn: { step: number; samples: DrawnSample[] } | undefined;
  private clock = performance.now();
  private saved = performance.now();

  constructor(
    config: TrainingConfig,
    private readonly dataset: Dataset,
    private readonly set: TrainingSet,
    private readonly gpu: Gpu,
    private readonly options: TrainOptions,
  ) {
    const software = gpu.adapter.kind !== "gpu";
    this.budget = {
      activations: options.memory?.activations ?? (software ? 1 : 4) * 2 ** 30,
      frames: options.memory?.frames ?? (software ? 1 : 8) * 2 ** 30,
    };
    const microBatch = config.microBatch || largestMicroBatch(gpu, set.sizes, config, this.budget);
    this.config = { ...config, microBatch };
    this.layout = new ParameterLayout(config.model);
    const { seed, size, anomalyShare: share, pseudo } = config;
    this.sampler = new Sampler(set, { seed, size, share: config.anomalies === "none" ? 0 : share, pseudo });
    this.stepsPerEpoch = Math.floor(set.sampleCount / config.batch);
    if (this.stepsPerEpoch === 0) {
      throw new InputError(
        `${dataset.root} has ${set.sampleCount} training frames, fewer than a batch of ${config.batch}: use a smaller batch`,
      );
    }
    const { length } = this.layout;
    this.state = {
      ...this.layout.flatten(options.init ?? freshWeights(config.model, config.seed)),
      moments: [new Float32Array(length), new Float32Array(length)],
      scaler: Float32Array.from(freshScaler),
    };
    if (options.resume) this.restore(options.resume);
  }

  async run(): Promise<TrainResult> {
    const { config, progress, options } = this;
    try {
      for (; progress.epoch < config.epochs; progress.epoch++) {
        while (progress.stepInEpoch < this.stepsPerEpoch) {
          const stage = await this.enter();
          await this.submitStep(stage);
          while (this.pending.length > 1) await this.reportStep();
          if (options.signal?.aborted) {
            await this.save();
            options.signal.throwIfAborted();
          }
          if (performance.now() - this.saved > 1000 * (options.saveEvery ?? 300)) await this.save();
        }
        await this.readState();
        this.reportEpoch();
        if (this.isTested()) {
          await this.keepLatest();
          await this.test();
        }
        progress.stepInEpoch = 0;
        progress.lossSum = 0;
        if (progress.epoch + 1 === config.teacherEpochs) progress.stageStep = 0;
        // What is saved is the begin of the next epoch.
        await this.keepLatest(1);
      }
    } finally {
      await Promise.allSettled(this.pending.map(({ loss }) => loss));
      this.stage?.close();
    }
    const checkpoint = this.modelCheckpoint();
    if (!this.best && !this.bestStudent) await this.options.onCheckpoint?.("model", this.asTraining(checkpoint));
    const { best, bestStudent } = progress;
    const bests = { ...(best && { best }), ...(bestStudent && { bestStudent }) };
    return { checkpoint, epochs: this.epochs, tests: this.tests, ...bests };
  }

  /** Of all epochs. */
  private get steps(): number {
    return this.stepsPerEpoch * this.config.epochs;
  }

  private get stageNumber(): 1 | 2 {
    return this.progress.epoch < this.config.teacherEpochs ? 1 : 2;
  }

  /** The stage that runs, made ready where it is another than before. */
  private async enter(): Promise<Stage> {
    const number = this.stageNumber;
    if (this.stage?.number === number) return this.stage;
    const { config, set, gpu, budget, progress } = this;
    // Its state was read when its last epoch was over.
    this.stage?.close();
    this.stage = undefined;
    if (number === 2 && progress.stageStep === 0) {
      // Of the student no step was made yet.
      this.state = { ...this.state, scaler: Float32Array.from(freshScaler) };
      if (config.teacher === "best" && this.best) this.state = { ...this.state, ...this.best };
    }
    this.options.onStage?.(number, progress.step, this.steps, config.batch);
    this.stage = await Stage.open(gpu, set, config, number, this.state, budget);
    return this.stage;
  }

  private async submitStep(stage: Stage): Promise<void> {
    const { config, progress } = this;
    const { batch, microBatch } = config;
    const samples =
      this.drawn?.step === progress.step ? this.drawn.samples : this.draw(progress.epoch, progress.stepInEpoch);
    const learningRate = this.learningRate();
    const firstMicroStep = (progress.step * batch) / microBatch;
    const { loss } = await stage.step(samples, progress.stageStep + 1, learningRate, firstMicroStep);
    progress.step++;
    progress.stageStep++;
    progress.stepInEpoch++;
    const { epoch, step } = progress;
    const report = { epoch: epoch + 1, stage: stage.number, step, steps: this.steps, learningRate, samples: batch };
    this.pending.push({ report, loss });
    if (progress.stepInEpoch < this.stepsPerEpoch) {
      this.drawn = { step, samples: this.draw(epoch, progress.stepInEpoch) };
      stage.prefetch(this.drawn.samples);
    }
  }

  /** The samples of a step. */
  private draw(epoch: number, stepInEpoch: number): DrawnSample[] {
    const { batch } = this.config;
    const first = (epoch * this.stepsPerEpoch + stepInEpoch) * batch;
    return Array.from({ length: batch }, (_, i) => this.sampler.draw(first + i, epoch, stepInEpoch * batch + i));
  }

  /** By the schedule, for the next step. */
  private learningRate(): number {
    const { config, progress, stepsPerEpoch } = this;
    const { learningRate } = config.optimizer;
    const epochs = this.stageNumber === 1 ? config.teacherEpochs : config.epochs - config.teacherEpochs;
    const warmup = config.warmup * stepsPerEpoch;
    if (progress.stageStep < warmup) return (learningRate * (progress.stageStep + 1)) / warmup;
    if (config.schedule === "constant") return learningRate;
    const share = (progress.stageStep - warmup) / Math.max(1, epochs * stepsPerEpoch - warmup);
    return 0.5 * learningRate * (1 + Math.cos(Math.PI * share));
  }

  /** Waits for the oldest step that was not reported. @throws DivergedError */
  private async reportStep(): Promise<void> {
    const { report, loss: promised } = this.pending[0];
    const loss = await promised;
    this.pending.shift();
    if (!Number.isFinite(loss)) throw new DivergedError(report.step, report.epoch, `the loss is ${loss}`);
    this.progress.lossSum += loss;
    this.options.onStep?.({ ...report, loss, seconds: this.seconds() });
  }

  /** Waits for every step that was submitted. */
  private async settle(): Promise<void> {
    while (this.pending.length > 0) await this.reportStep();
  }

  /** Seconds of training so far. */
  private seconds(): number {
    const now = performance.now();
    this.progress.seconds += (now - this.clock) / 1000;
    this.clock = now;
    return this.progress.seconds;
  }

  private reportEpoch(): void {
    const { epoch, lossSum } = this.progress;
    const steps = this.stepsPerEpoch;
    const report = { epoch: epoch + 1, stage: this.stageNumber, loss: lossSum / steps, steps, seconds: this.seconds() };
    this.epochs.push(report);
    this.options.onEpoch?.(report);
  }

  private isTested(): boolean {
    const { teacherEpochs, epochs, test } = this.config;
    const done = this.progress.epoch + 1;
    if (!this.dataset.test.some((video) => video.labels)) return false;
    return done % test.every === 0 || done === teacherEpochs || done === epochs;
  }

  private async test(): Promise<void> {
    const { progress, options, dataset, config, gpu } = this;
    const stage = this.stageNumber;
    const checkpoint = this.checkpointOf(this.state);
    // A student is tested as it will be used: with the best teacher, whose statistics the second stage does not move.
    const tested = stage === 2 && this.best ? this.withStudent(this.state) : checkpoint;
    const result = await validate(gpu, tested, dataset, config, stage, options.signal, options.onTestFrame);
    const { microAuc } = result;
    const key = stage === 1 ? "best" : "bestStudent";
    const best = microAuc !== undefined && microAuc > (progress[key]?.microAuc ?? -1);
    if (best) {
      progress[key] = { epoch: progress.epoch + 1, microAuc };
      this[key] = { trained: this.state.trained, running: this.state.running };
      const kept = this.asTraining(checkpoint);
      await options.onCheckpoint?.(stage === 1 ? "best" : "best-student", kept);
      await options.onCheckpoint?.("model", this.asTraining(this.modelCheckpoint()));
    }
    const report = { epoch: progress.epoch + 1, stage, result, best, seconds: this.seconds() };
    this.tests.push(report);
    options.onTest?.(report);
  }

  /** Waits for every step that was submitted, and reads back what they came to. @throws DivergedError */
  private async readState(): Promise<void> {
    await this.settle();
    // Where no stage runs the state is what the run began with, or went on from.
    if (!this.stage) return;
    const state = await this.stage.read();
    const allFinite = (values: Float32Array) => values.every(Number.isFinite);
    // A step whose loss is a number can leave weights that are none: they must not take a good checkpoint's place.
    if (![state.trained, state.running, ...state.moments].every(allFinite)) {
      const { step, epoch } = this.progress;
      throw new DivergedError(step, epoch + 1, "weights or their moments are no numbers any more");
    }
    this.state = state;
  }

  private async save(): Promise<void> {
    await this.readState();
    await this.keepLatest();
  }

  /** Hands the state that was read on as the latest checkpoint. @param epochs that are over beside those of the progress */
  private async keepLatest(epochs = 0): Promise<void> {
    this.seconds();
    const progress = { ...this.progress, epoch: this.progress.epoch + epochs };
    await this.options.onCheckpoint?.("latest", this.asTraining(this.checkpointOf(this.state), progress));
    this.saved = performance.now();
  }

  private checkpointOf({ trained, running }: Pick<TrainingState, "trained" | "running">): Checkpoint {
    const { config, progress, layout } = this;
    const { batch, microBatch, teacherEpochs } = config;
    const micro = batch / microBatch;
    const studentSteps = Math.max(0, progress.step - teacherEpochs * this.stepsPerEpoch);
    const settings: TrainingSettings = {
      maskRatio: config.maskRatio,
      maskingMethod: config.masking === "gradient" ? "grad_masking_v1" : "random_masking",
      inputSize: [config.size.height, config.size.width],
      score: [config.test.norm],
      normPixLoss: config.normalizeTarget,
      onlyMaskedTokens: config.test.maskedOnly,
      dataset: this.options.datasetName ?? this.dataset.layout,
      // As the original counts: from 0, and epochs that are over.
      epoch: Math.floor(progress.step / this.stepsPerEpoch) - 1,
      tested: testsOf(config),
    };
    return {
      config: config.model,
      weights: layout.unflatten(trained, running) as Checkpoint["weights"],
      extras: originalExtras(config.model, progress.step * micro, studentSteps * micro),
      settings,
      source: "training",
      overlaid: 0,
    };
  }

  /** The best teacher with the best student's tensors, as far as there are such. */
  private modelCheckpoint(): Checkpoint {
    return this.bestStudent ? this.withStudent(this.bestStudent) : this.checkpointOf(this.best ?? this.state);
  }

  /** The best teacher with another state's student. */
  private withStudent(state: Pick<TrainingState, "trained" | "running">): Checkpoint {
    const model = this.checkpointOf(this.best ?? this.state);
    const { weights } = this.checkpointOf(state);
    return { ...model, weights: mergeStudent(model.weights, weights).tensors };
  }

  private asTraining(checkpoint: Checkpoint, progress = this.progress): TrainingCheckpoint {
    const { config, set, layout, state } = this;
    const moments: TrainingCheckpoint["optimizer"]["moments"] = new Map();
    for (const { name, shape, offset } of layout.tensors()) {
      const [first, second] = state.moments.map((flat) => flat.slice(offset, offset + elementCount(shape)));
      moments.set(name, { shape, first: first, second: second });
    }
    const training = { config, data: set.fingerprint, progress, scaler: [...state.scaler] };
    return { checkpoint, optimizer: { moments }, training };
  }

  /** @throws InputError where a checkpoint is of another run */
  private restore({ latest, best, bestStudent }: NonNullable<TrainOptions["resume"]>): void {
    const { checkpoint, optimizer } = latest;
    const { config, data, progress, scaler } = parseTraining(latest.training, checkpoint.source);
    checkGoesOn(config, this.config, checkpoint.source);
    if (data !== this.set.fingerprint) {
      throw new InputError(`${checkpoint.source} was trained on other videos than those of ${this.dataset.root}`);
    }
    this.progress = progress;
    this.state.scaler.set(scaler);
    Object.assign(this.state, this.layout.flatten(checkpoint.weights));
    for (const { name, offset } of this.layout.tensors()) {
      const moment = optimizer.moments.get(name);
      if (!moment) throw new InputError(`${checkpoint.source} has no moments of ${name}`);
      this.state.moments[0].set(moment.first, offset);
      this.state.moments[1].set(moment.second, offset);
    }
    for (const [key, tested] of Object.entries({ best, bestStudent })) {
      if (progress[key as "best" | "bestStudent"] && !tested) {
        throw new InputError(`${checkpoint.source}: the run's best checkpoints are needed beside it`);
      }
      if (tested) this[key as "best" | "bestStudent"] = this.layout.flatten(tested.weights);
    }
  }
}

/** How a configuration's models are tested, for those who use the model later. */
function testsOf({ test }: TrainingConfig): TrainingSettings["tested"] {
  const { scoring, tokens, topK, minMotion, smoothing, normalize } = test.evaluation;
  return { rule: test.score, scoring, tokens, topK, minMotion, smoothing, normalize, maskings: test.maskings };
}

/** The trainer's own part of a checkpoint. @throws InputError where something is missing, or of another type */
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
  const found = progress as Record<string, unknown>;
  const read: Progress = structuredClone(start);
  for (const key of ["epoch", "stepInEpoch", "step", "stageStep", "lossSum", "seconds"] as const) {
    const value = found[key];
    const whole = key !== "lossSum" && key !== "seconds";
    if (typeof value !== "number" || !(whole ? Number.isInteger(value) && value >= 0 : Number.isFinite(value))) {
      throw new InputError(`${name}: says ${JSON.stringify(value)} for training's ${key}`);
    }
    read[key] = value;
  }
  for (const key of ["best", "bestStudent"] as const) {
    const value = found[key] as { epoch?: unknown; microAuc?: unknown } | null;
    if (value === null) continue;
    const { epoch, microAuc } = value ?? {};
    if (typeof epoch !== "number" || typeof microAuc !== "number") {
      throw new InputError(`${name}: does not say which epoch was best`);
    }
    read[key] = { epoch, microAuc };
  }
  return { config: parseTrainingConfig(config, name), data, progress: read, scaler };
}

/**
 * Checks that a run may be gone on with: by the settings that it began with.
 * @param source the checkpoint, for messages
 * @throws InputError that says which differ
 */
export function checkGoesOn(began: TrainingConfig, wanted: TrainingConfig, source: string): void {
  // What a constant learning rate has done does not depend on how long it goes on.
  const mayGoOn = began.schedule === "constant" && wanted.epochs > began.epochs;
  const { epochs } = mayGoOn ? wanted : began;
  const differing = differences({ ...began, epochs }, wanted, "");
  if (differing.length > 0) {
    throw new InputError(
      `${source}: a run is continued with the settings that it began with; ${differing.join("; ")} (--init begins another with its weights)`,
    );
  }
}

/** Where settings differ, a line each. */
function differences(saved: object, wanted: object, path: string): string[] {
  return Object.entries(saved).flatMap(([key, value]) => {
    const other = (wanted as Record<string, unknown>)[key];
    if (typeof value === "object" && value !== null) return differences(value, other ?? {}, `${path}${key}.`);
    return value === other ? [] : [`${path}${key} was ${value}, not ${other}`];
  });
}
