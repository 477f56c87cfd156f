import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { saveCheckpoint } from "../../checkpoint/checkpoint.js";
import { saveTrainingCheckpoint, type TrainingCheckpoint } from "../../checkpoint/training_checkpoint.js";
import type { SceneCollectionOptions } from "../../data/scene/dataset.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { type RunEntry, TrainingLog } from "../../node/files/training_log.js";
import { versions } from "../../node/files/versions.js";
import { TrainingPage, type TrainingState } from "../../report/training/page_file.js";
import type { TrainingConfig } from "../../train/config.js";
import type { TrainingPresetName } from "../../train/presets.js";
import type { CheckpointKind } from "../../train/run_checkpoint.js";
import type { TrainOptions } from "../../train/trainer.js";
import { Progress } from "../terminal/progress.js";
import { percent } from "../terminal/table.js";

/** Names of a run's files. */
export const latestName = "checkpoint-latest.safetensors";
export const settingsName = "settings.json";
/** Seconds between news for the page. */
const pageEvery = 2;

/** What of the command line the data depends on; kept in RUN/settings.json. */
export interface DataSource {
  dataset?: TrainingPresetName;
  root?: string;
  labels?: string;
  /** But for the size, which is the network's. */
  scene?: Omit<SceneCollectionOptions, "width" | "height">;
}

/** The files of a run, and what is shown of it. */
export class Run {
  /** The step of the last checkpoint. */
  savedStep = 0;
  /** Whether model.safetensors is there. */
  hasModel = false;
  private progress: Progress | undefined;
  private state: TrainingState = { state: "running", text: "reading the training videos" };
  private lastPage = 0;
  private page: Promise<void> = Promise.resolve();
  private samplesPerSecond = Number.NaN;
  private lastSeconds = 0;
  private lastStep = 0;
  /** A running mean of this stage's losses, and the lowest that it was. */
  private meanLoss = Number.NaN;
  private lowestLoss = Number.POSITIVE_INFINITY;
  private warned = false;
  /** Whether it came to training: before that nothing of this start is in the log. */
  private began = false;

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
    // What lies there without a checkpoint is of a start that came to nothing.
    await (resumedStep === undefined ? log.clear() : log.rewindTo(resumedStep));
    const start = { title, settings: { ...data, ...config }, adapter, versions: versions() };
    const run = new Run(folder, config, log, await TrainingPage.open(folder, title), quiet, start);
    run.savedStep = resumedStep ?? 0;
    run.hasModel = log.entries().some(({ type }) => type === "test");
    if (!quiet) process.stderr.write(`curves: ${join(folder, "index.html")}\n`);
    await run.show(true);
    return run;
  }

  callbacks(): TrainOptions {
    const { log } = this;
    const { epochs } = this.config;
    return {
      onLoad: (what, done, total) => {
        if (done === 1) {
          this.progress?.stop();
          this.progress = new Progress(
            what === "decoded" ? "frames decoded" : "frames searched for people",
            total,
            this.quiet,
          );
        }
        this.progress?.advance();
      },
      onStage: (stage, step, steps, samples) => {
        const text = `compiling the kernels of stage ${stage}`;
        this.state = { state: "running", text, epochs };
        [this.meanLoss, this.lowestLoss] = [Number.NaN, Number.POSITIVE_INFINITY];
        if (!this.began) log.append({ type: "run", time: new Date().toISOString(), ...this.start });
        this.began = true;
        void this.show(true);
        if (this.lastStep === 0) {
          this.progress?.stop();
          this.progress = new Progress("samples", steps * samples, this.quiet, true, step * samples);
        } else if (!this.quiet) this.line(`${text} …`);
      },
      onStep: ({ steps, samples, ...report }) => {
        const { epoch, stage, step, loss, seconds } = report;
        const took = seconds - this.lastSeconds;
        // The first step of a start was compiled for.
        const rate = this.lastStep === 0 ? Number.NaN : samples / took;
        const known = Number.isFinite(this.samplesPerSecond);
        this.samplesPerSecond = known ? 0.9 * this.samplesPerSecond + 0.1 * rate : rate;
        [this.lastSeconds, this.lastStep] = [seconds, step];
        this.watch(step, loss);
        log.append({ type: "step", ...report, samplesPerSecond: this.samplesPerSecond });
        this.progress?.advance(samples, `epoch ${epoch}/${epochs}, loss ${loss.toPrecision(4)}`);
        const { samplesPerSecond } = this;
        const speed = samplesPerSecond > 0 && {
          samplesPerSecond,
          secondsLeft: ((steps - step) * samples) / samplesPerSecond,
        };
        this.state = { state: "running", text: `training stage ${stage}`, epoch, epochs, ...speed };
        void this.show();
      },
      onEpoch: (report) => {
        log.append({ type: "epoch", ...report });
        this.state = { ...this.state, text: "testing" };
        void this.show(true);
      },
      onTestFrame: () => this.progress?.advance(0, "testing"),
      onTest: ({ result, ...report }) => {
        const { microAuc, macroAuc, notes } = result;
        const figures = { ...(microAuc !== undefined && { microAuc }), ...(macroAuc !== undefined && { macroAuc }) };
        log.append({ type: "test", ...report, ...figures });
        for (const text of notes) log.append({ type: "note", text });
        this.lastSeconds = report.seconds;
        if (!this.quiet) {
          const best = report.best ? ", the best so far" : "";
          this.line(
            `epoch ${report.epoch}: micro-AUC ${percent(microAuc, 2)}, macro-AUC ${percent(macroAuc, 2)}${best}`,
          );
        }
        void this.show(true);
      },
      onCheckpoint: (kind, checkpoint) => this.keep(kind, checkpoint),
    };
  }

  /** Whether there is nothing that a reader, or a later run, could want: no step was done, now or before. */
  get isEmpty(): boolean {
    return this.savedStep === 0 && this.lastStep === 0;
  }

  /** Macro-AUC of each epoch that was tested, before the run was resumed too. */
  macroAucs(): Map<number, number> {
    const tests = this.log.entries().filter((entry) => entry.type === "test");
    return new Map(tests.flatMap(({ epoch, macroAuc }) => (macroAuc === undefined ? [] : [[epoch, macroAuc]])));
  }

  /** The run is over. */
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

  /** Removes what a run without a step has written; its folder too, if it is empty then and the run made it. */
  async remove(madeFolder: boolean): Promise<void> {
    const names = [settingsName, "log.jsonl", "index.html", "curves.js"];
    await Promise.allSettled(names.map((name) => rm(join(this.folder, name), { force: true })));
    if (madeFolder) await rmdir(this.folder).catch(() => undefined);
  }

  /** Says, once, that the loss has grown out of all proportion: it may stay a number for long. */
  private watch(step: number, loss: number): void {
    this.meanLoss = Number.isNaN(this.meanLoss) ? loss : 0.95 * this.meanLoss + 0.05 * loss;
    this.lowestLoss = Math.min(this.lowestLoss, this.meanLoss);
    if (this.warned || this.meanLoss < 100 * this.lowestLoss) return;
    this.warned = true;
    const [now, before] = [this.meanLoss, this.lowestLoss].map((value) => value.toPrecision(3));
    const text = `step ${step}: the loss has grown from ${before} to ${now}: a lower learning rate, or more warm-up, may help`;
    this.log.append({ type: "note", text });
    if (!this.quiet) this.line(`warning: ${text}`);
  }

  /** A line above the bar. */
  private line(text: string): void {
    if (this.progress) this.progress.print(text, process.stderr);
    else process.stderr.write(`${text}\n`);
  }

  private async keep(kind: CheckpointKind, checkpoint: TrainingCheckpoint): Promise<void> {
    if (kind === "model") {
      await writeFileAtomic(join(this.folder, "model.safetensors"), saveCheckpoint(checkpoint.checkpoint));
      this.hasModel = true;
      return;
    }
    await writeFileAtomic(join(this.folder, `checkpoint-${kind}.safetensors`), saveTrainingCheckpoint(checkpoint));
    if (kind === "latest") this.savedStep = this.lastStep;
  }

  /** Gives the page news, now and then. */
  private show(now = false): Promise<void> {
    if (!now && performance.now() - this.lastPage < 1000 * pageEvery) return this.page;
    this.lastPage = performance.now();
    // One after the other; a page that cannot be written must not end the training.
    this.page = this.page.then(() => this.html.update(this.log.entries(), this.state)).catch(() => {});
    return this.page;
  }
}
