// Training: the public train(), and the loop over epochs and steps behind it.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { TrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import { knownTotal } from "../counted.js";
import { validationKinds } from "../data/anomalies/validation_anomaly.js";
import type { Dataset, DatasetVideo } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { type Gpu, openNavigatorGpu } from "../gpu/gpu.js";
import type { Weights } from "../model/network.js";
import { FirstUse } from "../tuner/first_use.js";
import { areLongEnough } from "../watch/calibration.js";
import { checkTrainingConfig, type TestConfig, type TrainingConfig } from "./config.js";
import { type FrameArchive, MemoryArchive } from "./frame_archive.js";
import { ParameterLayout } from "./parameters.js";
import {
  type BestModel,
  DivergedError,
  type EpochReport,
  Reporter,
  type ReportListeners,
  Schedule,
  type TestReport,
  type ValidationReport,
} from "./progress.js";
import { type CheckpointKind, type ResumeFrom, TrainingRun } from "./run_checkpoint.js";
import { type DrawnSample, Sampler } from "./sampler.js";
import { chooseScoring, type RatingOptions, rateScoring, scoringsOf } from "./selection.js";
import { Stage } from "./stage.js";
import { largestMicroBatch, type MemoryBudget } from "./stage_graph.js";
import { freshScaler, requireHalf } from "./training_graph.js";
import { type OnLoad, TrainingSet } from "./training_set.js";
import { scoreValidation, testModel } from "./validate.js";
import { ValidationSet } from "./validation_set.js";

/** Options of {@link train}. The `on…` functions are called as training proceeds. */
export interface TrainOptions extends ReportListeners {
  /** The device to train on, which the caller closes; by default train() opens one. */
  gpu?: Gpu;
  /**
   * Receives one line for each check that runs unasked, such as that of float16, for each remark
   * about a video, such as damage, if videos show several views, and if there is no validation.
   */
  onNotice?: (line: string) => void;
  /** Where decoded frames are kept, which the caller closes; by default in memory. */
  archive?: FrameArchive;
  /** Continues a run of the same configuration and data from its checkpoints. */
  resume?: ResumeFrom;
  /** Initial weights, instead of fresh ones. */
  init?: Weights;
  /** Name of the data set in checkpoints; by default its layout. */
  datasetName?: string;
  /**
   * By default 1 GiB for activations and 1 GiB for frames on a software adapter, 4 and 8 GiB on a
   * GPU.
   */
  memory?: Partial<MemoryBudget>;
  /** Stops training after the current step, saves a checkpoint and throws the signal's reason. */
  signal?: AbortSignal;
  /**
   * Called before a stage's kernels are compiled, with the finished steps, the steps of all epochs
   * and the samples per step.
   */
  onStage?: (stage: 1 | 2, step: number, steps: number, samples: number) => void;
  /**
   * Called after each frame of a validation or test, with the frames scored in this one and, if
   * known, all that it scores.
   */
  onTestFrame?: (done: number, total: number | undefined) => void;
  /**
   * Called after the last epoch, before one masking per frame is compared with several; with their
   * number and the frames to score. If the comparison is stopped, a resumed run begins it again.
   */
  onMaskings?: (maskings: number, frames: number) => void;
  onLoad?: OnLoad;
  /** Called with each checkpoint that is worth keeping. Training waits until it returns. */
  onCheckpoint?: (kind: CheckpointKind, checkpoint: TrainingCheckpoint) => Promise<void> | void;
  /** Seconds between checkpoints within an epoch; each epoch ends with one anyway. Default 300. */
  saveEvery?: number;
  /**
   * Called when training is done, with the clips that were kept apart, if there are any: normal
   * video that the model has not learnt from. They can be read until it returns.
   */
  onKept?: (clips: readonly DatasetVideo[]) => Promise<void>;
}

/** Maskings that are tried beside one, and what they must gain: they cost as many times as much. */
const severalMaskings = 3;
const leastGain = 0.005;

/** The result of training. */
export interface TrainResult {
  /** The best teacher with the best student; the last ones if there was no test. */
  checkpoint: Checkpoint;
  /** Epochs and tests; of a resumed run those since it was resumed. */
  epochs: EpochReport[];
  tests: TestReport[];
  validations: ValidationReport[];
  /** The best epoch of each stage, of the whole run. */
  best?: BestModel;
  bestStudent?: BestModel;
}

/**
 * Trains a model on a data set's training videos, the teacher first, then its student, and tests it
 * on the labelled test videos (docs/method.md §3). The same configuration, data and adapter give
 * the same bits, also if the run was stopped and resumed. If the loss becomes NaN, training stops,
 * reports the step and keeps the last good checkpoint.
 * @throws InputError if settings or data cannot be used, DivergedError if the loss or the weights
 * are not finite, GpuError if the GPU fails, the signal's reason if it stops training
 */
export async function train(
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainOptions = {},
): Promise<TrainResult> {
  checkTrainingConfig(config);
  // Weights that do not fit are refused before any video is decoded.
  if (options.init) new ParameterLayout(config.model).flatten(options.init);
  const gpu = options.gpu ?? (await openNavigatorGpu());
  const archive = options.archive ?? new MemoryArchive();
  try {
    if (config.precision === "mixed") {
      await new FirstUse(gpu, { onNotice: options.onNotice }).checkHalf("f16");
      requireHalf(gpu);
    }
    const { anomalies, pseudo, seed } = config;
    const { signal, onLoad } = options;
    const drawn = pseudo.drawn > 0 ? { seed } : undefined;
    const isValidated = config.validation.select === "validation";
    const keptShare = isValidated ? config.validation.share : 0;
    const { onNotice } = options;
    const set = await TrainingSet.load(dataset, { archive, anomalies, keptShare, signal, onLoad, onNotice });
    const validation = isValidated ? await makeValidation(set, config, options) : undefined;
    if (anomalies === "pseudo") await set.findForeground({ drawn, signal, onLoad });
    const trainer = new Trainer(config, dataset, { set, validation }, gpu, options);
    const result = await trainer.train();
    if (set.kept.length > 0) await options.onKept?.(set.kept.map((clip) => set.asVideo(clip)));
    await trainer.finish();
    return result;
  } finally {
    if (!options.archive) await archive.close();
    if (!options.gpu) gpu.close();
  }
}

/**
 * The validation set; undefined, with a notice, if the videos allow none. Then clips that are too
 * short for a threshold are learnt from, too.
 */
async function makeValidation(
  set: TrainingSet,
  { seed, epochSamples, validation: { share } }: TrainingConfig,
  { signal, onNotice, onLoad }: TrainOptions,
): Promise<ValidationSet | undefined> {
  try {
    const found = await ValidationSet.make(set, {
      seed,
      ...(epochSamples && { samples: epochSamples }),
      ...(signal && { signal }),
      ...(onLoad && { onLoad }),
    });
    for (const notice of validationNotices(set, found, share)) onNotice?.(notice);
    return found;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const [kept, isUseful] = [set.kept.length > 0, givesThreshold(set)];
    if (!isUseful) set.giveBack();
    const use = isUseful ? "only give a threshold" : "are trained on, too";
    const clips = kept ? `; the clips that were kept apart ${use}` : "";
    onNotice?.(
      `warning: no epoch is chosen, the last one is kept, which nothing rates: ${error.message}; ten minutes of video are advised${clips}`,
    );
    return undefined;
  }
}

/** What is unusual about the clips that were kept apart. @param share that was asked for */
function validationNotices(
  { clips, kept, sampleCount }: TrainingSet,
  { counts }: ValidationSet,
  share: number,
): string[] {
  const missing = validationKinds.filter((kind) => !counts.has(kind));
  const frames = kept.reduce((sum, { numbers }) => sum + numbers.length, 0);
  const found = frames / (frames + sampleCount);
  // Of very many clips fewer are kept apart, of few clips more.
  const chosen = kept.length / (kept.length + clips.length);
  const isFar = (from: number) => found > 2 * from || found < from / 2;
  const percent = (value: number) => `${Math.round(100 * value)} %`;
  return [
    ...(missing.length > 0
      ? [`nothing is known of these pseudo-anomalies, which could not be made here: ${missing.join(", ")}`]
      : []),
    ...(isFar(share) && isFar(chosen)
      ? [
          `warning: ${percent(found)} of the frames are kept apart, not ${percent(share)}: the clips differ in length; clips of about the same length serve better`,
        ]
      : []),
  ];
}

/** Whether the clips that are kept apart are long enough for a threshold, and have a clock. */
function givesThreshold({ kept }: TrainingSet): boolean {
  const seconds = kept.map(({ fps, numbers }) => (fps === undefined ? Number.NaN : (numbers.length - 1) / fps));
  return kept.length > 0 && !seconds.some(Number.isNaN) && areLongEnough(seconds);
}

class Trainer {
  private readonly config: TrainingConfig;
  private readonly set: TrainingSet;
  private readonly validation: ValidationSet | undefined;
  private readonly sampler: Sampler;
  private readonly budget: MemoryBudget;
  private readonly schedule: Schedule;
  private readonly run: TrainingRun;
  private readonly reporter: Reporter;
  private stage: Stage | undefined;
  /** Samples that were drawn ahead, for the step after `step` steps. */
  private drawn: { step: number; samples: DrawnSample[] } | undefined;
  private savedAt = performance.now();

  constructor(
    config: TrainingConfig,
    private readonly dataset: Dataset,
    { set, validation }: { set: TrainingSet; validation: ValidationSet | undefined },
    private readonly gpu: Gpu,
    private readonly options: TrainOptions,
  ) {
    this.set = set;
    this.validation = validation;
    const software = gpu.adapter.kind !== "gpu";
    this.budget = {
      activations: options.memory?.activations ?? (software ? 1 : 4) * 2 ** 30,
      frames: options.memory?.frames ?? (software ? 1 : 8) * 2 ** 30,
    };
    const microBatch = config.microBatch || largestMicroBatch(gpu, set, config, this.budget);
    this.config = { ...config, microBatch };
    const { seed, size, anomalyShare, pseudo, augmentation } = config;
    const share = config.anomalies === "none" ? 0 : anomalyShare;
    this.sampler = new Sampler(set, { seed, size, share, pseudo, augmentation });
    const { batch, epochSamples } = config;
    const samples = epochSamples || set.sampleCount;
    this.schedule = new Schedule(config, Math.floor(samples / batch));
    if (this.schedule.stepsPerEpoch === 0) {
      throw new InputError(
        `${dataset.root} gives ${samples} samples per epoch, fewer than a batch of ${batch}: use a smaller batch`,
      );
    }
    this.run = new TrainingRun({
      ...{ config: this.config, schedule: this.schedule, set, dataset, init: options.init },
      datasetName: options.datasetName ?? dataset.layout,
    });
    if (options.resume) this.run.restore(options.resume);
    this.reporter = new Reporter(this.run.progress, this.schedule, options);
  }

  async train(): Promise<TrainResult> {
    const { run, reporter, options } = this;
    const { progress } = run;
    try {
      if (options.init && !options.resume && this.validation && this.schedule.stageOf(0) === 1) await this.measure(0);
      while (progress.epoch < this.config.epochs) {
        await this.finishSteps();
        await this.readState();
        reporter.epoch();
        if (this.schedule.isTestEpoch(progress.epoch) && (this.validation || this.hasLabels)) {
          await this.keepLatest();
          await this.measure(progress.epoch + 1);
        }
        this.beginNextEpoch();
        await this.keepLatest();
      }
    } finally {
      await reporter.abandon();
      this.stage?.close();
    }
    if (this.validation && !progress.maskingsChosen) {
      await this.chooseMaskings(this.validation);
      progress.maskingsChosen = true;
      await this.keepLatest();
    }
    const checkpoint = run.modelCheckpoint();
    if (!run.best && !run.bestStudent) await options.onCheckpoint?.("model", run.asTraining(checkpoint));
    const { best, bestStudent } = progress;
    const bests = { ...(best && { best }), ...(bestStudent && { bestStudent }) };
    const { epochs, tests, validations } = reporter;
    return { checkpoint, epochs, tests, validations, ...bests };
  }

  /** Keeps that nothing is left to do. */
  async finish(): Promise<void> {
    if (this.run.progress.finished) return;
    this.run.progress.finished = true;
    await this.keepLatest();
  }

  /** Runs the steps that remain of this epoch. */
  private async finishSteps(): Promise<void> {
    const { progress } = this.run;
    const { signal, saveEvery = 300 } = this.options;
    while (progress.stepInEpoch < this.schedule.stepsPerEpoch) {
      const stage = await this.enterStage();
      await this.submitStep(stage);
      // The loss is read one step late, so that the GPU does not wait for the host.
      await this.reporter.settle(1);
      if (signal?.aborted) {
        await this.save();
        signal.throwIfAborted();
      }
      if (performance.now() - this.savedAt > 1000 * saveEvery) await this.save();
    }
  }

  private beginNextEpoch(): void {
    const { progress } = this.run;
    progress.epoch++;
    progress.stepInEpoch = 0;
    progress.lossSum = 0;
    if (progress.epoch === this.config.teacherEpochs) progress.stageStep = 0;
  }

  /** The current epoch's stage. A new stage is compiled first. */
  private async enterStage(): Promise<Stage> {
    const { config, run, schedule } = this;
    const { progress } = run;
    const number = schedule.stageOf(progress.epoch);
    if (this.stage?.number === number) return this.stage;
    // Its state was read at the end of its last epoch.
    this.stage?.close();
    this.stage = undefined;
    if (number === 2 && progress.stageStep === 0) {
      // The student has not made a step yet.
      run.state = { ...run.state, scaler: Float32Array.from(freshScaler) };
      if (config.teacher === "best" && run.best) run.state = { ...run.state, ...run.best };
    }
    this.options.onStage?.(number, progress.step, schedule.steps, config.batch);
    this.stage = await Stage.open(this.gpu, this.set, config, number, run.state, this.budget);
    return this.stage;
  }

  private async submitStep(stage: Stage): Promise<void> {
    const { progress } = this.run;
    const { batch, microBatch } = this.config;
    const { steps, stepsPerEpoch } = this.schedule;
    // 1. Samples were usually drawn ahead, during the step before.
    const samples = this.drawn?.step === progress.step ? this.drawn.samples : this.draw();
    // 2. Submit the step.
    const learningRate = this.schedule.learningRate(stage.number, progress.stageStep);
    const firstMicroStep = (progress.step * batch) / microBatch;
    const { loss } = await stage.step(samples, progress.stageStep + 1, learningRate, firstMicroStep);
    progress.step++;
    progress.stageStep++;
    progress.stepInEpoch++;
    const { epoch, step } = progress;
    const report = { epoch: epoch + 1, stage: stage.number, step, steps, learningRate, samples: batch };
    this.reporter.submitted(report, loss);
    // 3. While the GPU computes, draw the next step's samples and read their frames.
    if (progress.stepInEpoch < stepsPerEpoch) {
      this.drawn = { step, samples: this.draw() };
      stage.prefetch(this.drawn.samples);
    }
  }

  /** The samples of the next step. */
  private draw(): DrawnSample[] {
    const { batch } = this.config;
    const { epoch, stepInEpoch } = this.run.progress;
    const first = (epoch * this.schedule.stepsPerEpoch + stepInEpoch) * batch;
    return Array.from({ length: batch }, (_, i) => this.sampler.draw(first + i, epoch, stepInEpoch * batch + i));
  }

  private get hasLabels(): boolean {
    return this.dataset.test.some((video) => video.labels);
  }

  private countTestFrames(total: number | undefined): () => void {
    let done = 0;
    return () => this.options.onTestFrame?.(++done, total);
  }

  /**
   * Rates the model on the validation set, tests it on labelled videos, keeps the best.
   * @param epoch finished epochs; 0: the initial weights are measured, so that training never ends
   *   with a worse model than it began with
   */
  private async measure(epoch: number): Promise<void> {
    const { run, options, dataset, config, gpu, validation } = this;
    const { signal } = options;
    const stage = this.schedule.stageOf(Math.max(0, epoch - 1));
    const tested = dataset.test.filter((video) => video.labels).map(({ frameCount }) => frameCount);
    // Validation chooses among ways with one masking.
    const maskings = validation ? 1 : config.test.maskings;
    const counts = [validation?.frameCount ?? 0, ...Array(maskings).fill(tested).flat()];
    const onFrame = this.countTestFrames(knownTotal(counts));
    const byLabels = config.validation.select === "labels";
    const measure = { gpu, checkpoint: run.testedCheckpoint(stage), config, stage, signal, onFrame };
    let way: Pick<TestConfig, "maskings" | "evaluation" | "score"> = config.test;
    if (validation) {
      const parts = await scoreValidation(measure, validation, 1);
      const rated = chooseScoring(parts, scoringsOf(stage), this.rating);
      const best = run.keepIfBest(epoch, stage, rated.figure, rated.way);
      this.reporter.validation({ epoch, stage }, rated, best);
      if (best) await this.keepBest(stage);
      const { rule, smoothing, maskings, ...scoring } = rated.way;
      way = {
        score: rule,
        maskings,
        evaluation: { ...config.test.evaluation, ...scoring, smoothing, normalize: false },
      };
    }
    if (!this.hasLabels) return;
    const result = await testModel(measure, dataset, way);
    // Labels choose only if that was asked for.
    const best = byLabels && run.keepIfBest(epoch, stage, result.microAuc);
    if (best) await this.keepBest(stage);
    this.reporter.test({ epoch, stage }, result, best);
  }

  /** A run that learns from disturbed samples is chosen by disturbed video, too. */
  private get rating(): RatingOptions {
    return { countDisturbed: this.config.augmentation.share > 0 };
  }

  private async keepBest(stage: 1 | 2): Promise<void> {
    const { run, options } = this;
    await options.onCheckpoint?.(stage === 1 ? "best" : "best-student", run.asTraining(run.checkpoint()));
    await options.onCheckpoint?.("model", run.asTraining(run.modelCheckpoint()));
  }

  /** Scores with several maskings if that is clearly better on the validation set. */
  private async chooseMaskings(validation: ValidationSet): Promise<void> {
    const { run, options, config, gpu } = this;
    const { way } = run;
    // Masks by motion are not random: all would be the same.
    if (!way || way.maskings > 1 || config.masking === "gradient") return;
    const { signal } = options;
    const frames = severalMaskings * validation.frameCount;
    options.onMaskings?.(severalMaskings, frames);
    const onFrame = this.countTestFrames(frames);
    const measure = { gpu, checkpoint: run.modelCheckpoint(), config, stage: 2 as const, signal, onFrame };
    const parts = await scoreValidation(measure, validation, severalMaskings);
    const one = rateScoring(
      parts.map((part) => ({ ...part, records: part.records.slice(0, 1) })),
      way,
      this.rating,
    );
    const several = rateScoring(parts, { ...way, maskings: severalMaskings }, this.rating);
    if (several.figure < one.figure + leastGain) return;
    this.reporter.validation(run.setMaskings(severalMaskings), several, true);
    await options.onCheckpoint?.("model", run.asTraining(run.modelCheckpoint()));
  }

  /**
   * Waits for all submitted steps and reads their results from the GPU.
   * @throws DivergedError if the loss, a weight or a moment is not finite
   */
  private async readState(): Promise<void> {
    await this.reporter.settle();
    // Without a stage nothing has changed since the run began or was resumed.
    if (!this.stage) return;
    const state = await this.stage.read();
    const allFinite = (values: Float32Array) => values.every(Number.isFinite);
    // A step with a finite loss can still lead to weights that are not finite. They must not
    // replace a good checkpoint.
    if (![state.trained, state.running, ...state.moments].every(allFinite)) {
      const { step, epoch } = this.run.progress;
      throw new DivergedError(step, epoch + 1, "weights or their moments are not finite");
    }
    this.run.state = state;
  }

  private async save(): Promise<void> {
    await this.readState();
    await this.keepLatest();
  }

  /** Hands out the latest checkpoint: the state as last read. */
  private async keepLatest(): Promise<void> {
    this.reporter.seconds();
    await this.options.onCheckpoint?.("latest", this.run.asTraining(this.run.checkpoint()));
    this.savedAt = performance.now();
  }
}
