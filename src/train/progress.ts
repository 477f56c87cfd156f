// How far a training run is, its schedule (stages, steps, learning rate), and what it reports.
import type { EvaluationResult } from "../eval/evaluation.js";
import type { TrainingConfig } from "./config.js";
import type { ScoringWay, ValidationResult } from "./selection.js";

/** What is known after an optimiser step. Epochs and steps count from 1, steps over all epochs. */
export interface StepReport {
  epoch: number;
  stage: 1 | 2;
  step: number;
  /** Steps of all epochs. */
  steps: number;
  loss: number;
  learningRate: number;
  /** Samples of the step: the batch. */
  samples: number;
  /** Seconds of training so far, those before a resume included. */
  seconds: number;
}

/** What is known after an epoch. */
export interface EpochReport {
  epoch: number;
  stage: 1 | 2;
  /** Mean loss of its steps. */
  loss: number;
  steps: number;
  seconds: number;
}

/** What is known after a test. */
export interface TestReport {
  /** 0: the initial weights. */
  epoch: number;
  stage: 1 | 2;
  result: EvaluationResult;
  /** Whether it is the best of its stage so far, by micro-AUC; false if labels do not choose. */
  best: boolean;
  seconds: number;
}

/** What is known after a model was rated without labels. */
export interface ValidationReport {
  /** 0: the initial weights. */
  epoch: number;
  stage: 1 | 2;
  result: ValidationResult;
  /** Whether it is the best of its stage so far, by its figure. */
  best: boolean;
  seconds: number;
}

/** The best model of a stage, and what it was chosen by. */
export interface BestModel {
  /** 0: the initial weights. */
  epoch: number;
  /** 0…1: the validation's figure, or the micro-AUC on labelled test videos. */
  figure: number;
  /** How it is scored, if that was chosen too. */
  way?: ScoringWay;
}

/** Where a run is. Checkpoints hold it as JSON. */
export interface Progress {
  /** The current epoch, from 0. */
  epoch: number;
  /** Finished steps of this epoch. */
  stepInEpoch: number;
  /** Finished steps of all epochs. */
  step: number;
  /** Finished steps of this stage. */
  stageStep: number;
  /** Sum of the losses of this epoch's steps. */
  lossSum: number;
  seconds: number;
  /** The best model of stage 1; null before the first is rated. */
  best: BestModel | null;
  /** The same for stage 2. */
  bestStudent: BestModel | null;
  /** Whether the number of maskings was chosen: the first thing after the last epoch. */
  maskingsChosen: boolean;
  /** Whether nothing is left to do. */
  finished: boolean;
}

/** The progress of a run that has not begun. */
export function freshProgress(): Progress {
  const begin = { epoch: 0, stepInEpoch: 0, step: 0, stageStep: 0, lossSum: 0, seconds: 0 };
  return { ...begin, best: null, bestStudent: null, maskingsChosen: false, finished: false };
}

/** The loss, or what the model learned, is not finite. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";

  constructor(
    readonly step: number,
    readonly epoch: number,
    what: string,
  ) {
    super(
      `${what} at step ${step}, in epoch ${epoch}: training has diverged; try a lower learning rate, a longer warm-up, or float32 instead of mixed precision`,
    );
  }
}

/** What a configuration does when: stages, steps, tests, learning rate. Epochs count from 0. */
export class Schedule {
  constructor(
    private readonly config: TrainingConfig,
    readonly stepsPerEpoch: number,
  ) {}

  /** Steps of all epochs. */
  get steps(): number {
    return this.stepsPerEpoch * this.config.epochs;
  }

  stageOf(epoch: number): 1 | 2 {
    return epoch < this.config.teacherEpochs ? 1 : 2;
  }

  /** How many of the first `step` steps of the run trained the student. */
  studentSteps(step: number): number {
    return Math.max(0, step - this.config.teacherEpochs * this.stepsPerEpoch);
  }

  /** Whether the model is tested after an epoch. */
  isTestEpoch(epoch: number): boolean {
    const { teacherEpochs, epochs, test } = this.config;
    const done = epoch + 1;
    return done % test.every === 0 || done === teacherEpochs || done === epochs;
  }

  /**
   * The learning rate of a stage's step: linear warm-up, then constant or half a cosine.
   * @param stageStep from 0
   */
  learningRate(stage: 1 | 2, stageStep: number): number {
    const { config, stepsPerEpoch } = this;
    const { learningRate } = config.optimizer;
    const epochs = stage === 1 ? config.teacherEpochs : config.epochs - config.teacherEpochs;
    const warmup = config.warmup * stepsPerEpoch;
    if (stageStep < warmup) return learningRate * Math.min(1, (stageStep + 1) / warmup);
    if (config.schedule === "constant") return learningRate;
    const share = (stageStep - warmup) / Math.max(1, epochs * stepsPerEpoch - warmup);
    return 0.5 * learningRate * (1 + Math.cos(Math.PI * share));
  }
}

/** Who receives reports. */
export interface ReportListeners {
  onStep?: (report: StepReport) => void;
  onEpoch?: (report: EpochReport) => void;
  onTest?: (report: TestReport) => void;
  onValidation?: (report: ValidationReport) => void;
}

/** Reports steps, epochs and tests, and counts losses and seconds into a run's progress. */
export class Reporter {
  readonly epochs: EpochReport[] = [];
  readonly tests: TestReport[] = [];
  readonly validations: ValidationReport[] = [];
  /** Steps that were submitted and are not reported yet, the oldest first. */
  private readonly pending: { report: Omit<StepReport, "loss" | "seconds">; loss: Promise<number> }[] = [];
  private clock = performance.now();

  constructor(
    private readonly progress: Progress,
    private readonly schedule: Schedule,
    private readonly listeners: ReportListeners,
  ) {}

  /** Takes a step that was just submitted. */
  submitted(report: Omit<StepReport, "loss" | "seconds">, loss: Promise<number>): void {
    this.pending.push({ report, loss });
  }

  /**
   * Waits for submitted steps and reports them, until at most `ahead` are left.
   * @throws DivergedError if a loss is not finite
   */
  async settle(ahead = 0): Promise<void> {
    while (this.pending.length > ahead) {
      const { report, loss: promised } = this.pending[0];
      const loss = await promised;
      this.pending.shift();
      if (!Number.isFinite(loss)) throw new DivergedError(report.step, report.epoch, `the loss is ${loss}`);
      this.progress.lossSum += loss;
      this.listeners.onStep?.({ ...report, loss, seconds: this.seconds() });
    }
  }

  /** Waits for submitted steps without reporting them, whether they succeed or not. */
  async abandon(): Promise<void> {
    await Promise.allSettled(this.pending.map(({ loss }) => loss));
  }

  /** Seconds of training so far; the progress holds them too. */
  seconds(): number {
    const now = performance.now();
    this.progress.seconds += (now - this.clock) / 1000;
    this.clock = now;
    return this.progress.seconds;
  }

  /** Reports the epoch whose last step was just reported. */
  epoch(): void {
    const { epoch, lossSum } = this.progress;
    const { stepsPerEpoch: steps } = this.schedule;
    const stage = this.schedule.stageOf(epoch);
    const report = { epoch: epoch + 1, stage, loss: lossSum / steps, steps, seconds: this.seconds() };
    this.epochs.push(report);
    this.listeners.onEpoch?.(report);
  }

  /** Reports a test of the model after an epoch. */
  test(after: Pick<TestReport, "epoch" | "stage">, result: EvaluationResult, best: boolean): void {
    const report = { ...after, result, best, seconds: this.seconds() };
    this.tests.push(report);
    this.listeners.onTest?.(report);
  }

  /** Reports the rating of the model after an epoch. */
  validation(after: Pick<ValidationReport, "epoch" | "stage">, result: ValidationResult, best: boolean): void {
    const report = { ...after, result, best, seconds: this.seconds() };
    this.validations.push(report);
    this.listeners.onValidation?.(report);
  }
}
