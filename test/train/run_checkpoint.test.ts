import { describe, expect, it } from "vitest";
import { hasTrainedStudent } from "../../src/checkpoint/extras.js";
import { InputError } from "../../src/errors.js";
import { paperTraining, type TrainingConfig } from "../../src/train/config.js";
import { Schedule } from "../../src/train/progress.js";
import { checkCanResume, parseTraining, TrainingRun } from "../../src/train/run_checkpoint.js";
import { type ScoringWay, scoringsOf } from "../../src/train/selection.js";
import { tinyConfig } from "../support/model.js";
import { Random } from "../support/numbers.js";
import { datasetOf, loadSet, noise } from "../support/training_set.js";

const size = { height: 32, width: 48 };
const config: TrainingConfig = {
  ...{ ...paperTraining, model: tinyConfig, size, batch: 4, microBatch: 4, epochs: 6, teacherEpochs: 4 },
};
const video = noise(new Random(1), "v", size, [0, 1, 2, 3]).video;
const [byMean, byMotion] = scoringsOf(1).map(
  (scoring): ScoringWay => ({ ...scoring, smoothing: { kind: "none" }, maskings: 1 }),
);
const byStudent: ScoringWay = { ...scoringsOf(2)[1], smoothing: { kind: "gaussian", sigma: 2 }, maskings: 1 };

async function freshRun(): Promise<TrainingRun> {
  const set = await loadSet([video]);
  const options = {
    config,
    schedule: new Schedule(config, 1),
    set,
    dataset: datasetOf([video]),
    datasetName: "folder",
  };
  return new TrainingRun(options);
}

/** Ends an epoch with this figure; its weights are all its number, from 1. */
function endEpoch(run: TrainingRun, stage: 1 | 2, figure: number | undefined, way?: ScoringWay): boolean {
  const number = run.progress.epoch + 1;
  const { trained, running } = run.state;
  run.state = { ...run.state, trained: trained.map(() => number), running: running.map(() => number) };
  const best = run.keepIfBest(number, stage, figure, way);
  run.progress.epoch++;
  return best;
}
const biasOf = (run: TrainingRun, name: string) => run.modelCheckpoint().weights.get(`${name}.bias`)?.data[0];

it("warms up to the learning rate, never above it", () => {
  const optimizer = { ...config.optimizer, learningRate: 0.002 };
  const rates = (warmup: number, schedule: TrainingConfig["schedule"]) => {
    const own = new Schedule({ ...config, optimizer, warmup, schedule }, 8);
    return Array.from({ length: 32 }, (_, step) => own.learningRate(1, step));
  };
  // 0.3 epochs are 2.4 steps.
  const cosine = rates(0.3, "cosine");
  expect(cosine.slice(0, 3)).toEqual([0.002 / 2.4, 0.004 / 2.4, 0.002].map((rate) => expect.closeTo(rate, 12)));
  for (let i = 3; i < 32; i++) expect(cosine[i]).toBeLessThan(cosine[i - 1]!);
  // Less than a step.
  expect(rates(0.05, "constant")).toEqual(Array(32).fill(0.002));
});

describe("the best model of a run", () => {
  it("is that of the epoch with the best figure, the first of equal ones", async () => {
    const run = await freshRun();
    expect(endEpoch(run, 1, 0.5, byMotion)).toBe(true);
    expect(endEpoch(run, 1, 0.7, byMean)).toBe(true);
    expect(endEpoch(run, 1, 0.6, byMotion)).toBe(false);
    expect(endEpoch(run, 1, 0.7, byMotion)).toBe(false);
    expect(run.progress.best).toEqual({ epoch: 2, figure: 0.7, way: byMean });
    expect([biasOf(run, "decoder_pred"), biasOf(run, "decoder_student_pred")]).toEqual([2, 2]);
    expect(endEpoch(run, 2, 0.6, byStudent)).toBe(true);
    expect(endEpoch(run, 2, undefined)).toBe(false);
    expect(run.progress.bestStudent).toEqual({ epoch: 5, figure: 0.6, way: byStudent });
    // The best teacher with the best student.
    expect([biasOf(run, "decoder_pred"), biasOf(run, "decoder_student_pred")]).toEqual([2, 5]);
  });

  it("counts batches and epochs up to where it was kept, not to the end of the run", async () => {
    const counts = (run: TrainingRun) => {
      const { extras, settings } = run.modelCheckpoint();
      const of = (block: string) => Number(extras.get(`${block}.attn.conv_proj_q.bn.num_batches_tracked`)?.data[0]);
      return [of("blocks.0"), of("decoder_student_block"), settings.epoch];
    };
    const end = (run: TrainingRun, stage: 1 | 2, figure: number) => {
      run.progress.step++;
      endEpoch(run, stage, figure);
    };
    const run = await freshRun();
    for (const figure of [0.5, 0.7, 0.6, 0.4]) end(run, 1, figure);
    expect(counts(run)).toEqual([2, 0, 1]);
    for (const figure of [0.9, 0.2]) end(run, 2, figure);
    expect(counts(run)).toEqual([5, 1, 4]);
    // What it began with is kept: a model whose student is not known to fit.
    const begun = await freshRun();
    begun.keepIfBest(0, 1, 0.9);
    end(begun, 1, 0.5);
    expect(counts(begun)).toEqual([1, 0, undefined]);
    const { config: network, extras } = begun.modelCheckpoint();
    expect(hasTrainedStudent(network, extras)).toBe(false);
  });

  it("is the current one if no figure is known", async () => {
    const run = await freshRun();
    for (let epoch = 0; epoch < 3; epoch++) expect(endEpoch(run, 1, undefined)).toBe(false);
    expect([run.progress.best, biasOf(run, "decoder_pred")]).toEqual([null, 3]);
    // Even the worst figure is one.
    expect(endEpoch(run, 1, 0)).toBe(true);
  });

  it("says how it is scored: by the teacher, unless the student's figure is higher", async () => {
    const settingsOf = (run: TrainingRun) => run.modelCheckpoint().settings.tested;
    const run = await freshRun();
    // As the configuration says, if nothing was chosen.
    const { smoothing, normalize } = config.test.evaluation;
    expect(settingsOf(run)).toMatchObject({ scoring: "mean", rule: config.test.score, smoothing, normalize });
    endEpoch(run, 1, 0.7, byMotion);
    expect(settingsOf(run)).toEqual({ ...byMotion, normalize: false });
    endEpoch(run, 2, 0.7, byStudent);
    expect([run.way, settingsOf(run)]).toEqual([byMotion, { ...byMotion, normalize: false }]);
    endEpoch(run, 2, 0.8, byStudent);
    expect([run.way, settingsOf(run)]).toEqual([byStudent, { ...byStudent, normalize: false }]);
    // Chosen by labels: scored as it was tested.
    const byLabels = await freshRun();
    endEpoch(byLabels, 1, 0.7);
    expect([byLabels.way, settingsOf(byLabels)?.rule]).toEqual([undefined, config.test.score]);
  });

  it("is scored by more maskings without changing what was reported or saved", async () => {
    for (const [figure, key] of [
      [0.6, "best"],
      [0.8, "bestStudent"],
    ] as const) {
      const run = await freshRun();
      expect(() => run.setMaskings(3)).toThrow("no way to score was chosen");
      endEpoch(run, 1, 0.7, byMotion);
      endEpoch(run, 2, figure, byStudent);
      const before = run.asTraining(run.checkpoint());
      const text = JSON.stringify(before.training);
      expect(run.setMaskings(3)).toEqual(key === "best" ? { epoch: 1, stage: 1 } : { epoch: 2, stage: 2 });
      // Later epochs are compared with what one masking gave.
      expect(run.progress[key]?.figure).toBe(key === "best" ? 0.7 : 0.8);
      expect(run.way?.maskings).toBe(3);
      expect(run.progress[key]?.way?.maskings).toBe(3);
      expect(run.modelCheckpoint().settings.tested?.maskings).toBe(3);
      expect([byMotion.maskings, byStudent.maskings, JSON.stringify(before.training)]).toEqual([1, 1, text]);
    }
  });

  it("is read again from a checkpoint, and refused if it says something else", async () => {
    const run = await freshRun();
    endEpoch(run, 1, 0.7, byMotion);
    endEpoch(run, 2, 0.8);
    const { training } = run.asTraining(run.checkpoint());
    const json = () => JSON.parse(JSON.stringify(training)) as { progress: Record<string, unknown> };
    expect(parseTraining(json(), "file").progress).toEqual(run.progress);
    const refused = (best: unknown, message: string) => {
      const changed = json();
      changed.progress.best = best;
      const read = () => parseTraining(changed, "file");
      expect(read).toThrow(InputError);
      expect(read).toThrow(message);
    };
    refused({ epoch: 1, microAuc: 0.7 }, "file: does not say which epoch was best");
    refused(undefined, "file: does not say which epoch was best");
    refused({ epoch: 1, figure: 0.7, way: { ...byMean, topK: 3 } }, "file: says to score in a way");
    refused({ epoch: 1, figure: 0.7, way: null }, "file: says to score in a way");
  });
});

describe("a run that is made longer", () => {
  const began: TrainingConfig = { ...config, schedule: "constant" };
  const refusal = (from: TrainingConfig, wanted: Partial<TrainingConfig>) => {
    try {
      checkCanResume(from, { ...from, ...wanted }, "run");
      return undefined;
    } catch (error) {
      return (error as Error).message.replace(/^.*began with; /, "").replace(/ \(.*/, "");
    }
  };

  it("has more epochs of the student, or of the teacher if there is no student's stage", () => {
    expect(refusal(began, { epochs: 9 })).toBeUndefined();
    const alone = { ...began, teacherEpochs: 6 };
    expect(refusal(alone, { epochs: 9, teacherEpochs: 9 })).toBeUndefined();
    expect(refusal(began, { epochs: 9, teacherEpochs: 9 })).toBe("teacherEpochs was 4, not 9");
    expect(refusal(alone, { epochs: 9, teacherEpochs: 8 })).toBe("teacherEpochs was 6, not 8");
    expect(refusal(began, { epochs: 5 })).toBe("epochs was 6, not 5");
    expect(refusal({ ...alone, schedule: "cosine" }, { epochs: 9, teacherEpochs: 9 })).toMatch(/^epochs was 6, not 9/);
  });
});
