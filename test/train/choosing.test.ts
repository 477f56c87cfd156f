import { expect, it } from "vitest";
import { openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { openTrainingCheckpoint, saveTrainingCheckpoint } from "../../src/checkpoint/training_checkpoint.js";
import type { Dataset } from "../../src/data/dataset.js";
import type { Weights } from "../../src/model/network.js";
import { paperTraining, type TrainingConfig } from "../../src/train/config.js";
import type { ValidationReport } from "../../src/train/progress.js";
import { type TrainOptions, type TrainResult, train } from "../../src/train/trainer.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { tinyConfig } from "../support/model.js";
import { datasetOf } from "../support/training_set.js";
import { walk } from "../support/walkers.js";

const gpu = useGpu(testAdapter, { guarded: false });
/** So quick that each pixel shows the background most of the time, even in a short clip. */
const frames = { width: 72, height: 48, tall: 10, start: 8 };
const clip = (name: string, speed: number, count = 16) => walk(name, speed, { ...frames, count });
/** Of four clips the third is kept apart. It is short, since 19 windows of it are scored. */
const clips = [clip("0", 2.5), clip("1", 2), clip("kept", 3, 9), clip("3", 2.2)];
/** With a test video, of which these frames are abnormal. */
const labelled = (labels: readonly number[], train = clips): Dataset => ({
  ...datasetOf(train),
  test: [{ ...clip("test", 2.5, labels.length), labels: async () => Uint8Array.from(labels) }],
});
const labels = [0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0];
const dataset = labelled(labels);
const flipped = labelled(labels.map((label) => 1 - label));
/** Six steps per epoch: two epochs of the teacher and one of the student. */
const config: TrainingConfig = {
  ...{ ...paperTraining, model: tinyConfig, size: { height: 32, width: 48 }, batch: 8, microBatch: 4 },
  ...{ epochs: 3, teacherEpochs: 2, anomalies: "pseudo", anomalyShare: 0.5 },
  pseudo: { ...paperTraining.pseudo, drawn: 0.2, frozen: 0.3, decoys: 0.3 },
  optimizer: { ...paperTraining.optimizer, learningRate: 2e-3 },
  validation: { select: "validation", share: 0.25 },
};

/** What a run hands out. */
class Run {
  readonly files = new Map<string, Uint8Array>();
  /** The weights when an epoch ended, by its number from 1. */
  readonly weights: Weights[] = [];
  readonly validations: ValidationReport[] = [];
  readonly notices: string[] = [];
  /** What is announced before maskings are compared. */
  readonly maskings: [maskings: number, frames: number][] = [];
  /** The last frame that was counted of each validation and its test, with their total. */
  readonly scored: [number, number | undefined][] = [];

  options(): TrainOptions {
    return {
      gpu: gpu(),
      onNotice: (line) => this.notices.push(line),
      onTestFrame: (done, total) => {
        if (done === 1) this.scored.push([1, total]);
        else this.scored[this.scored.length - 1] = [done, total];
      },
      onMaskings: (...announced) => this.maskings.push(announced),
      onValidation: (report) => this.validations.push(structuredClone(report)),
      onCheckpoint: (kind, checkpoint) => {
        if (kind === "latest") {
          const { epoch, stepInEpoch } = (checkpoint.training as { progress: Record<string, number> }).progress;
          // Before it is rated; afterwards the next epoch has begun.
          if (stepInEpoch === 6) this.weights[epoch + 1] = checkpoint.checkpoint.weights;
        }
        const save = kind === "model" ? saveCheckpoint(checkpoint.checkpoint) : saveTrainingCheckpoint(checkpoint);
        this.files.set(kind, save.slice());
      },
    };
  }

  checkpoint(kind: string) {
    return openCheckpoint([{ name: kind, bytes: this.files.get(kind)! }]);
  }

  get model(): Buffer {
    return Buffer.from(this.files.get("model")!);
  }
}

/** A report without the time that it took. */
const untimed = ({ seconds: _, ...report }: ValidationReport) => report;

const whole = new Run();
let result: TrainResult;

/** The ratings of epochs; three maskings are rated once more at the end, if they are better. */
const ratingsOf = ({ validations }: Pick<TrainResult, "validations">) =>
  validations.filter((report) => report.result.way.maskings === 1);

it("keeps the model of the epoch with the best figure, and says how it is scored", { timeout: 240_000 }, async () => {
  result = await train(config, dataset, whole.options());
  const { tests, best, bestStudent, checkpoint } = result;
  const validations = ratingsOf(result);
  // The clips are too short for it.
  expect(whole.notices).toEqual(["nothing is known of these pseudo-anomalies, which could not be made here: speed-up"]);
  expect(validations.map(({ epoch, stage }) => [epoch, stage])).toEqual([
    [1, 1],
    [2, 1],
    [3, 2],
  ]);
  const figures = validations.map(({ result: { figure } }) => figure);
  const highest = Math.max(...figures.slice(0, 2));
  const chosen = figures.indexOf(highest) + 1;
  expect(validations.map((report) => report.best)).toEqual([
    ...[0, 1].map((i) => figures.slice(0, i).every((before) => figures[i] > before)),
    true,
  ]);
  // Figures are those of one masking, also if three were better: later epochs compare with them.
  expect(best).toMatchObject({ epoch: chosen, figure: figures[chosen - 1] });
  expect(bestStudent).toMatchObject({ epoch: 3, figure: figures[2] });
  // The teacher of the model is that of the chosen epoch, the student that of the last one.
  expect(whole.checkpoint("best").weights).toEqual(whole.weights[chosen]);
  for (const [name, { data }] of whole.checkpoint("model").weights) {
    const from = name.includes("student") ? whole.weights[3] : whole.weights[chosen];
    expect(data, name).toEqual(from.get(name)?.data);
  }
  expect(checkpoint.weights).toEqual(whole.checkpoint("model").weights);
  for (const epoch of [1, 2].filter((one) => one !== chosen)) {
    expect(whole.weights[epoch].get("decoder_pred.weight")).not.toEqual(checkpoint.weights.get("decoder_pred.weight"));
  }
  // It is scored as the better one was; three maskings may have been better than one.
  const { maskings: _, ...way } = whole.validations[figures[2] > highest ? 2 : chosen - 1].result.way;
  expect(checkpoint.settings.tested).toEqual({ ...way, normalize: false, maskings: expect.any(Number) });
  expect([1, 3]).toContain(checkpoint.settings.tested?.maskings);
  for (const { result: rated } of validations) {
    // Nine frames are too few for time to run twice as fast: 13 kinds remain.
    expect(rated.kinds.map(({ events }) => events)).toEqual(Array(13).fill(1));
    expect(rated.normalFrames).toBe(9);
    const mean = (of: (one: (typeof rated.kinds)[number]) => number) =>
      rated.kinds.reduce((sum, one) => sum + of(one), 0) / 13;
    expect(rated.figure).toBeCloseTo((mean(({ auc }) => auc) + mean(({ found }) => found)) / 2, 12);
  }
  // Three epochs are measured, then three maskings: all that was announced was scored.
  expect(whole.scored.length).toBe(4);
  for (const [done, total] of whole.scored) expect(done).toBe(total);
  expect(whole.maskings).toEqual([[3, whole.scored[3][1]]]);
  // Labels are measured each time, but choose nothing.
  expect(tests.map((test) => [test.epoch, test.best])).toEqual([1, 2, 3].map((epoch) => [epoch, false]));
});

it("resumed with all labels flipped ends with the same bits and the same choice", { timeout: 240_000 }, async () => {
  const stopped = new Run();
  const controller = new AbortController();
  const reason = new Error("enough");
  const run = train(config, dataset, {
    ...{ ...stopped.options(), signal: controller.signal },
    onStep: ({ step }) => step === 8 && controller.abort(reason),
  });
  await expect(run).rejects.toBe(reason);
  expect(stopped.validations.length).toBe(1);
  const resumed = new Run();
  const latest = openTrainingCheckpoint({ name: "latest", bytes: stopped.files.get("latest")! });
  const resume = { latest, best: stopped.checkpoint("best") };
  const { best, bestStudent, tests } = await train(config, flipped, { ...resumed.options(), resume });
  expect([...stopped.validations, ...resumed.validations].map(untimed)).toEqual(whole.validations.map(untimed));
  expect([best, bestStudent]).toEqual([result.best, result.bestStudent]);
  expect(resumed.model.equals(whole.model)).toBe(true);
  // What was measured did change.
  const before = result.tests.slice(1).map((test) => test.result.microAuc!);
  for (const [i, test] of tests.entries()) expect(test.result.microAuc).toBeCloseTo(1 - before[i], 12);
  expect(before.some((microAuc) => Math.abs(microAuc - 0.5) > 0.02)).toBe(true);

  const other = { ...config, validation: { ...config.validation, share: 0.3 } };
  await expect(train(other, dataset, { gpu: gpu(), resume })).rejects.toThrow("validation.share was 0.25, not 0.3");
});

it("scores nothing again when a finished run is resumed", { timeout: 120_000 }, async () => {
  const again = new Run();
  const latest = openTrainingCheckpoint({ name: "latest", bytes: whole.files.get("latest")! });
  expect(latest.training).toMatchObject({ progress: { epoch: 3, maskingsChosen: true, finished: true } });
  const resume = { latest, best: whole.checkpoint("best"), bestStudent: whole.checkpoint("best-student") };
  const { best, bestStudent, checkpoint } = await train(config, dataset, { ...again.options(), resume });
  expect([best, bestStudent]).toEqual([result.best, result.bestStudent]);
  expect(saveCheckpoint(checkpoint)).toEqual(whole.files.get("model"));
  expect([again.scored, [...again.files.keys()]]).toEqual([[], []]);
});

it("rates the weights that it starts from, and keeps them if no epoch is better", { timeout: 240_000 }, async () => {
  const init = whole.checkpoint("best").weights;
  const { maskings: _, ...way } = result.best!.way!;
  for (const learningRate of [1e-12, 0.05]) {
    const run = new Run();
    const optimizer = { ...config.optimizer, learningRate };
    const once: TrainingConfig = { ...config, epochs: 1, teacherEpochs: 1, optimizer };
    const { best, tests, checkpoint, ...more } = await train(once, dataset, { ...run.options(), init });
    const validations = ratingsOf(more);
    const [before, after] = validations.map((report) => report.result.figure);
    // The same weights on the same anomalies as in the first run.
    const first = ratingsOf(result).find(({ epoch }) => epoch === result.best!.epoch);
    expect(before).toBe(first?.result.figure);
    expect(validations.map(({ epoch, stage, best }) => [epoch, stage, best])).toEqual([
      [0, 1, true],
      [1, 1, after > before],
    ]);
    expect(tests.map(({ epoch }) => epoch)).toEqual([0, 1]);
    if (after > before) {
      expect(best).toMatchObject({ epoch: 1, figure: after });
    } else {
      expect(best).toMatchObject({ epoch: 0, figure: before, way });
      expect(checkpoint.weights).toEqual(init);
      // It is of no epoch of this run.
      expect(checkpoint.settings.epoch).toBeUndefined();
    }
    expect(run.checkpoint("model").weights).toEqual(checkpoint.weights);
  }
});

it("chooses by labels if asked to, and then learns from all clips", { timeout: 120_000 }, async () => {
  // With some seeds both epochs have the same AUC.
  const byLabels: TrainingConfig = {
    ...{ ...config, epochs: 2, seed: 3, validation: { ...config.validation, select: "labels" } },
  };
  const [one, other] = [new Run(), new Run()];
  const chosen: number[] = [];
  for (const [run, data] of [
    [one, dataset],
    [other, flipped],
  ] as const) {
    const { tests, validations, best, epochs } = await train(byLabels, data, run.options());
    expect(validations).toEqual([]);
    // 57 frames instead of 48.
    expect(epochs.map(({ steps }) => steps)).toEqual([7, 7]);
    const aucs = tests.map(({ result: { microAuc } }) => microAuc!);
    expect(best).toEqual({ epoch: aucs.indexOf(Math.max(...aucs)) + 1, figure: Math.max(...aucs) });
    chosen.push(best!.epoch);
  }
  // What was worst is best with flipped labels.
  expect(chosen[0]).not.toBe(chosen[1]);
  expect(one.model.equals(other.model)).toBe(false);
});

it("keeps the last epoch and learns from all clips if nothing moves in those that are kept apart", async () => {
  const still = walk("kept", 0, { ...frames, count: 9 });
  const run = new Run();
  const data = labelled(labels, [clips[0], clips[1], still, clips[3]]);
  const { best, bestStudent, tests, validations, checkpoint, epochs } = await train(
    { ...config, epochs: 2, teacherEpochs: 1 },
    data,
    run.options(),
  );
  expect(run.notices).toEqual([
    expect.stringMatching(
      /^warning: no epoch is chosen, the last one is kept, which nothing rates: no moving foreground was found in the training video kept: .*; ten minutes of video are advised; the clips that were kept apart are trained on, too$/,
    ),
  ]);
  expect([best, bestStudent, validations]).toEqual([undefined, undefined, []]);
  // 57 frames instead of 48.
  expect(epochs.map(({ steps }) => steps)).toEqual([7, 7]);
  expect(tests.map((test) => [test.epoch, test.best])).toEqual([
    [1, false],
    [2, false],
  ]);
  expect([...run.files.keys()].sort()).toEqual(["latest", "model"]);
  expect(checkpoint.weights).toEqual(run.checkpoint("latest").weights);
  expect(run.checkpoint("model").weights).toEqual(run.checkpoint("latest").weights);
  // It is scored as the configuration says.
  expect(checkpoint.settings.tested).toMatchObject({ rule: config.test.score, scoring: "mean" });
});
