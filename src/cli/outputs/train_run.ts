// The folder of a training run: its checkpoints, log and page, and what the terminal shows of it.
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { saveCheckpoint } from "../../checkpoint/checkpoint.js";
import { saveTrainingCheckpoint, type TrainingCheckpoint } from "../../checkpoint/training_checkpoint.js";
import type { TestSplit } from "../../data/dataset.js";
import type { SceneCollectionOptions } from "../../data/scene/dataset.js";
import { scoringName } from "../../detector/frame_score.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { type LogEntry, type RunEntry, TrainingLog, type ValidationEntry } from "../../node/files/training_log.js";
import { versions } from "../../node/files/versions.js";
import { epochName } from "../../report/training/best.js";
import { TrainingPage, type TrainingState } from "../../report/training/page_file.js";
import type { TrainingConfig } from "../../train/config.js";
import type { TrainingPresetName } from "../../train/presets.js";
import type { StepReport, TestReport, ValidationReport } from "../../train/progress.js";
import type { CheckpointKind } from "../../train/run_checkpoint.js";
import type { TrainOptions } from "../../train/trainer.js";
import { Progress } from "../terminal/progress.js";
import { percent } from "../terminal/table.js";

/** Names of a run's files. */
export const modelName = "model.safetensors";
export const latestName = "checkpoint-latest.safetensors";
export const settingsName = "settings.json";
export const logName = "log.jsonl";
/** What a run writes beside its checkpoints and its log. */
export const pageNames = [settingsName, "index.html", "curves.js"] as const;
/** Seconds between updates of the page. */
const pageEvery = 2;

/** The options that the data depends on; kept in RUN/settings.json. */
export interface DataSource {
  dataset?: TrainingPresetName;
  root?: string;
  labels?: string;
  /** The split that the model is tested on, unless it is the test videos. */
  split?: TestSplit;
  /** Without the size, which is the network's. */
  scene?: Omit<SceneCollectionOptions, "width" | "height">;
}

/** The files of a run, its progress on the terminal, and its page. */
export class Run {
  /** The step of the last checkpoint. */
  savedStep = 0;
  /** Whether model.safetensors exists. */
  hasModel = false;
  /** Whether all epochs are done and maskings are being compared. */
  comparesMaskings = false;
  private progress: Progress | undefined;
  private state: TrainingState = { state: "running", text: "reading the training videos" };
  private lastPage = 0;
  private page: Promise<void> = Promise.resolve();
  private samplesPerSecond = Number.NaN;
  private lastSeconds = 0;
  private lastStep = 0;
  /** A running mean of this stage's losses, and its minimum. */
  private meanLoss = Number.NaN;
  private lowestLoss = Number.POSITIVE_INFINITY;
  private warned = false;
  /** Whether training began. Before that the log has no entry of this start. */
  private began = false;
  /** Names of the checkpoints that this start wrote. */
  private readonly checkpoints = new Set<string>();

  private constructor(
    private readonly folder: string,
    private readonly config: TrainingConfig,
    private readonly log: TrainingLog,
    private readonly html: TrainingPage,
    private readonly quiet: boolean,
    private readonly start: Omit<RunEntry, "type" | "time">,
  ) {}

  static async open(
    folder: string,
    config: TrainingConfig,
    data: DataSource,
    adapter: string,
    resumedStep: number | undefined,
    quiet: boolean,
  ): Promise<Run> {
    const title = `Training on ${data.scene ? "drawn streets" : (data.root ?? "")}`;
    const settings = { data, config, adapter, versions: versions() };
    if (resumedStep === undefined)
      await writeFileAtomic(join(folder, settingsName), `${JSON.stringify(settings, null, 2)}\n`);
    const log = await TrainingLog.open(folder);
    // Log entries without a checkpoint are of a start that failed.
    await (resumedStep === undefined ? log.clear() : log.rewindTo(resumedStep));
    const start = { title, settings: { ...data, ...config }, adapter, versions: versions() };
    const run = new Run(folder, config, log, await TrainingPage.open(folder, title), quiet, start);
    run.savedStep = resumedStep ?? 0;
    run.hasModel = log.entries().some(({ type }) => type === "test" || type === "validation");
    if (!quiet) process.stderr.write(`curves: ${join(folder, "index.html")}\n`);
    await run.show(true);
    return run;
  }

  /** What {@link TrainOptions} call as training proceeds. */
  callbacks(): TrainOptions {
    return {
      onLoad: (what, done, total) => {
        if (done === 1) this.count(loadUnits[what], total);
        this.progress?.advance();
      },
      onStage: (stage, step, steps, samples) => this.beginStage(stage, step, steps, samples),
      onStep: (report) => this.addStep(report),
      onEpoch: (report) => {
        this.log.append({ type: "epoch", ...report });
        this.state = { ...this.state, text: "measuring" };
        void this.show(true);
      },
      onTestFrame: (done, total) => this.countTested(done, total),
      onMaskings: (maskings, frames) => this.compareMaskings(maskings, frames),
      onTest: (report) => this.addTest(report),
      onValidation: (report) => this.addValidation(report),
      onCheckpoint: (kind, checkpoint) => this.keep(kind, checkpoint),
    };
  }

  /**
   * Shows the progress of some work from now on.
   * @param units what is counted, in the plural
   * @param compiles, done as {@link Progress} takes them
   * @returns a function to call after each unit
   */
  count(units: string, total: number | undefined, compiles = false, done = 0): () => void {
    this.progress?.stop();
    const progress = new Progress(units, total, this.quiet, compiles, done);
    this.progress = progress;
    return () => progress.advance();
  }

  private countTested(done: number, total: number | undefined): void {
    // Initial weights are measured before any step of this start, maskings perhaps too.
    if (this.lastStep === 0 && done === 1) this.count("frames scored", total);
    if (this.lastStep === 0) this.progress?.advance();
    else this.progress?.advance(0, `measuring, ${done}${total === undefined ? "" : ` of ${total}`} frames scored`);
  }

  private compareMaskings(maskings: number, frames: number): void {
    this.comparesMaskings = true;
    const text = `comparing one masking per frame with ${maskings}: ${frames} frames to score`;
    this.state = { ...this.state, text };
    if (!this.quiet) this.line(`all epochs are done; ${text} (if this is stopped, --resume begins it again)`);
    void this.show(true);
  }

  /** Logs this start, once. */
  private begin(): void {
    if (!this.began) this.log.append({ type: "run", time: new Date().toISOString(), ...this.start });
    this.began = true;
  }

  private beginStage(stage: 1 | 2, step: number, steps: number, samples: number): void {
    const text = `compiling the kernels of stage ${stage}`;
    this.state = { state: "running", text, epochs: this.config.epochs };
    [this.meanLoss, this.lowestLoss] = [Number.NaN, Number.POSITIVE_INFINITY];
    this.begin();
    void this.show(true);
    if (this.lastStep === 0 && step > 0 && !this.quiet) this.line(`continues at step ${step} of ${steps}`);
    if (this.lastStep === 0) this.count("samples", steps * samples, true, step * samples);
    else if (!this.quiet) this.line(`${text} …`);
  }

  private addStep({ steps, samples, ...report }: StepReport): void {
    const { epoch, stage, step, loss, seconds } = report;
    const { epochs } = this.config;
    const took = seconds - this.lastSeconds;
    // The time of a start's first step includes compiling.
    const rate = this.lastStep === 0 ? Number.NaN : samples / took;
    const known = Number.isFinite(this.samplesPerSecond);
    this.samplesPerSecond = known ? 0.9 * this.samplesPerSecond + 0.1 * rate : rate;
    [this.lastSeconds, this.lastStep] = [seconds, step];
    this.watch(step, loss);
    this.log.append({ type: "step", ...report, samplesPerSecond: this.samplesPerSecond });
    this.progress?.advance(samples, `epoch ${epoch}/${epochs}, loss ${loss.toPrecision(4)}`);
    const { samplesPerSecond } = this;
    const speed = samplesPerSecond > 0 && {
      samplesPerSecond,
      secondsLeft: ((steps - step) * samples) / samplesPerSecond,
    };
    this.state = { state: "running", text: `training stage ${stage}`, epoch, epochs, ...speed };
    void this.show();
  }

  private addTest({ result, ...report }: TestReport): void {
    this.begin();
    const { microAuc, macroAuc, notes } = result;
    const figures = { ...(microAuc !== undefined && { microAuc }), ...(macroAuc !== undefined && { macroAuc }) };
    this.log.append({ type: "test", ...report, ...figures });
    for (const text of notes) this.log.append({ type: "note", text });
    this.lastSeconds = report.seconds;
    if (!this.quiet) {
      const best = report.best ? ", the best so far" : "";
      this.line(
        `${epochName(report.epoch)}: micro-AUC ${percent(microAuc, 2)}, macro-AUC ${percent(macroAuc, 2)}${best}`,
      );
    }
    void this.show(true);
  }

  private addValidation({ result, ...report }: ValidationReport): void {
    this.begin();
    const { figure, auc, found, worst, way, kinds, disturbances } = result;
    const figures = { figure, auc, found, worst, way: { ...way }, kinds, disturbances };
    this.log.append({ type: "validation", ...report, ...figures });
    this.lastSeconds = report.seconds;
    if (!this.quiet)
      this.line(`${epochName(report.epoch)}: ${ratingWords(result)}${report.best ? ", the best so far" : ""}`);
    void this.show(true);
  }

  /** Whether the run has no step, of this start or an earlier one: then its files are of no use. */
  get isEmpty(): boolean {
    return this.savedStep === 0 && this.lastStep === 0;
  }

  /** What was measured after epochs, including those before the run was resumed. */
  measured(): Measured {
    return measuredIn(this.log.entries());
  }

  /** Something that readers of the page should know. */
  note(text: string): void {
    this.log.append({ type: "note", text });
    void this.show(true);
  }

  /** Ends the run, on its page and in its log. */
  async end(state: TrainingState["state"], text: string): Promise<void> {
    this.progress?.stop();
    if (state === "failed" && this.began) this.log.append({ type: "note", text });
    const { epoch, epochs } = this.state;
    this.state = { state, text, ...(epoch !== undefined && { epoch }), ...(epochs !== undefined && { epochs }) };
    await this.show(true);
  }

  async close(): Promise<void> {
    await this.page;
    this.log.close();
  }

  /**
   * Removes the files of a run without a step; its folder too, if the run made it and it is empty.
   */
  async remove(madeFolder: boolean): Promise<void> {
    const names = [logName, ...pageNames, ...this.checkpoints];
    await Promise.allSettled(names.map((name) => rm(join(this.folder, name), { force: true })));
    if (madeFolder) await rmdir(this.folder).catch(() => undefined);
  }

  /** Warns once if the loss has grown a hundredfold. It may take long until it is NaN. */
  private watch(step: number, loss: number): void {
    this.meanLoss = Number.isNaN(this.meanLoss) ? loss : 0.95 * this.meanLoss + 0.05 * loss;
    this.lowestLoss = Math.min(this.lowestLoss, this.meanLoss);
    if (this.warned || this.meanLoss < 100 * this.lowestLoss) return;
    this.warned = true;
    const [now, before] = [this.meanLoss, this.lowestLoss].map((value) => value.toPrecision(3));
    const text = `step ${step}: the loss has grown from ${before} to ${now}; a lower learning rate or more warm-up may help`;
    this.log.append({ type: "note", text });
    if (!this.quiet) this.line(`warning: ${text}`);
  }

  /** A line above the bar. */
  private line(text: string): void {
    if (this.progress) this.progress.print(text, process.stderr);
    else process.stderr.write(`${text}\n`);
  }

  private async keep(kind: CheckpointKind, checkpoint: TrainingCheckpoint): Promise<void> {
    const isModel = kind === "model";
    const name = isModel ? modelName : `checkpoint-${kind}.safetensors`;
    this.checkpoints.add(name);
    const bytes = isModel ? saveCheckpoint(checkpoint.checkpoint) : saveTrainingCheckpoint(checkpoint);
    await writeFileAtomic(join(this.folder, name), bytes);
    if (isModel) this.hasModel = true;
    if (kind === "latest") this.comparesMaskings = false;
    // Before the first step of a resumed run, what is kept is of the step it was resumed at.
    if (kind === "latest" && this.lastStep > 0) this.savedStep = this.lastStep;
  }

  /** Updates the page, at most every {@link pageEvery} seconds unless `now`. */
  private show(now = false): Promise<void> {
    if (!now && performance.now() - this.lastPage < 1000 * pageEvery) return this.page;
    this.lastPage = performance.now();
    // One update after the other. A page that cannot be written must not stop training.
    this.page = this.page.then(() => this.html.update(this.log.entries(), this.state)).catch(() => {});
    return this.page;
  }
}

/** What is counted while data are loaded. */
const loadUnits = {
  decoded: "frames decoded",
  searched: "frames searched for people",
  drawn: "objects drawn for pseudo-anomalies",
} as const;

/** What a run's log says of its epochs. */
export interface Measured {
  /** Macro-AUC on labelled test videos, by epoch. */
  macroAucs: ReadonlyMap<number, number>;
  /** Ratings without labels, by epoch. */
  ratings: ReadonlyMap<number, Rating>;
}

/** What was measured in a run that has ended. @throws InputError if its log is damaged */
export async function measuredBefore(folder: string): Promise<Measured> {
  const log = await TrainingLog.open(folder);
  log.close();
  return measuredIn(log.entries());
}

function measuredIn(entries: readonly LogEntry[]): Measured {
  const tests = entries.filter((entry) => entry.type === "test");
  const rated = entries.filter((entry) => entry.type === "validation");
  return {
    macroAucs: new Map(tests.flatMap(({ epoch, macroAuc }) => (macroAuc === undefined ? [] : [[epoch, macroAuc]]))),
    ratings: new Map(rated.map((entry) => [entry.epoch, entry])),
  };
}

/** A rating without labels, as the log keeps it. */
export type Rating = Pick<ValidationEntry, "figure" | "auc" | "found" | "worst" | "kinds" | "way">;

/** A rating without labels in one line. */
export function ratingWords({ auc, found, worst, kinds, way }: Rating): string {
  const { auc: worstAuc, events, found: worstFound } = kinds.find(({ kind }) => kind === worst)!;
  return (
    `pseudo-anomalies: AUC ${percent(auc, 2)}, found ${percent(found)} ` +
    `(worst: ${worst}, AUC ${percent(worstAuc)}, found ${worstFound} of ${events}), scored by ${wayWords(way)}`
  );
}

/** "found of each kind: fast 4 of 4, thrown 1 of 4, …". */
export function foundWords({ kinds }: Rating): string {
  return `found of each kind: ${kinds.map(({ kind, found, events }) => `${kind} ${found} of ${events}`).join(", ")}`;
}

function wayWords({ scoring, topK, tokens, rule, smoothing, maskings }: Rating["way"]): string {
  const seen = tokens === "all" ? "" : `, ${tokens} tokens`;
  const whose = rule === "teacher" ? "" : ` (${rule === "sum" ? "teacher and student" : rule})`;
  const smooth = smoothing.kind === "gaussian" ? `, Gaussian of ${smoothing.sigma}` : "";
  return `${scoringName({ scoring, topK })}${whose}${seen}${smooth}${maskings > 1 ? `, ${maskings} maskings` : ""}`;
}
