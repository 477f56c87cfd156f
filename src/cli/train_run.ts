import { join } from "node:path";
import { saveCheckpoint } from "../checkpoint/checkpoint.js";
import { saveTrainingCheckpoint, type TrainingCheckpoint } from "../checkpoint/training_checkpoint.js";
import type { SceneCollectionOptions } from "../data/scene/dataset.js";
import { writeFileAtomic } from "../node/atomic.js";
import { TrainingLog } from "../node/training_log.js";
import { TrainingPage, type TrainingState } from "../report/training_page.js";
import type { TrainingConfig } from "../train/config.js";
import type { TrainingPresetName } from "../train/presets.js";
import type { CheckpointKind, TrainOptions } from "../train/trainer.js";
import { Progress } from "./progress.js";
import { percent } from "./table.js";
import { versions } from "./versions.js";

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
  private progress: Progress | undefined;
  private state: TrainingState = { state: "running", text: "reading the training videos" };
  private lastPage = 0;
  private page: Promise<void> = Promise.resolve();
  private samplesPerSecond = Number.NaN;
  private lastSeconds = 0;
  private lastStep = 0;

  private constructor(
    private readonly folder: string,
    private readonly config: TrainingConfig,
    private readonly log: TrainingLog,
    private readonly html: TrainingPage,
    private readonly quiet: boolean,
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
    await log.rewindTo(resumedStep ?? 0);
    const run = new Run(folder, config, log, await TrainingPage.open(folder, title), quiet);
    run.savedStep = resumedStep ?? 0;
    log.append({
      type: "run",
      time: new Date().toISOString(),
      title,
      settings: { ...data, ...config },
      adapter,
      versions: versions(),
    });
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
        void this.show(true);
        if (this.lastStep === 0) {
          this.progress?.stop();
          this.progress = new Progress("samples", (steps - step) * samples, this.quiet, true);
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

  /** The run is over. */
  async end(state: TrainingState["state"], text: string): Promise<void> {
    this.progress?.stop();
    if (state !== "done") this.log.append({ type: "note", text });
    const { epoch, epochs } = this.state;
    this.state = { state, text, ...(epoch !== undefined && { epoch }), ...(epochs !== undefined && { epochs }) };
    await this.show(true);
  }

  async close(): Promise<void> {
    await this.page;
    this.log.close();
  }

  /** A line above the bar. */
  private line(text: string): void {
    process.stderr.write(`${process.stderr.isTTY ? "\r\x1b[K" : ""}${text}\n`);
  }

  private async keep(kind: CheckpointKind, checkpoint: TrainingCheckpoint): Promise<void> {
    if (kind === "model") {
      await writeFileAtomic(join(this.folder, "model.safetensors"), saveCheckpoint(checkpoint.checkpoint));
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
