import { expect, it } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import { openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import {
  openTrainingCheckpoint,
  saveTrainingCheckpoint,
  type TrainingCheckpoint,
} from "../../src/checkpoint/training_checkpoint.js";
import { sceneCollection } from "../../src/data/scene/dataset.js";
import { paperTraining, type TrainingConfig } from "../../src/train/config.js";
import { DivergedError } from "../../src/train/progress.js";
import { type TrainOptions, train } from "../../src/train/trainer.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { tinyConfig } from "../support/model.js";

const gpu = useGpu(testAdapter, { guarded: false });
const size = { height: 32, width: 48 };
const dataset = sceneCollection({
  ...{ ...size, fps: 10, trainSeeds: [1, 2], testSeeds: [9], train: 1, test: 1, frames: 26, anomalies: ["runner"] },
});
/** Six steps per epoch, with four frames left over. */
const config: TrainingConfig = {
  ...{ ...paperTraining, model: tinyConfig, size, batch: 8, microBatch: 4, epochs: 3, teacherEpochs: 2 },
  ...{
    anomalies: "none",
    optimizer: { ...paperTraining.optimizer, learningRate: 1e-3 },
    schedule: "cosine",
    warmup: 0.5,
    // choosing.test.ts tests the other way to choose.
    validation: { ...paperTraining.validation, select: "labels" },
  },
  test: { ...paperTraining.test, every: 2 },
};

/** The checkpoint files of a run. */
class Files {
  readonly bytes = new Map<string, Uint8Array>();
  readonly keep: NonNullable<TrainOptions["onCheckpoint"]> = (kind, checkpoint) => {
    const save = kind === "model" ? saveCheckpoint(checkpoint.checkpoint) : saveTrainingCheckpoint(checkpoint);
    this.bytes.set(kind, save.slice());
  };

  resume(): NonNullable<TrainOptions["resume"]> {
    const file = (name: string) => ({ name, bytes: this.bytes.get(name) as Uint8Array });
    const other = (name: string): Checkpoint | undefined =>
      this.bytes.has(name) ? openCheckpoint([file(name)]) : undefined;
    const [best, bestStudent] = [other("best"), other("best-student")];
    return {
      latest: openTrainingCheckpoint(file("latest")),
      ...(best && { best }),
      ...(bestStudent && { bestStudent }),
    };
  }
}

/** A checkpoint without its training time. */
function withoutTime(bytes: Uint8Array | undefined): TrainingCheckpoint {
  const checkpoint = openTrainingCheckpoint({ name: "kept", bytes: bytes as Uint8Array });
  delete (checkpoint.training as { progress: { seconds?: number } }).progress.seconds;
  return checkpoint;
}

let whole: Files;
const losses: number[] = [];

it("trains both stages, tests them, keeps the best, and allocates nothing from step to step", async () => {
  whole = new Files();
  const stages: number[] = [];
  const created = new Map<number, Set<number>>();
  const { epochs, tests, checkpoint } = await train(config, dataset, {
    gpu: gpu(),
    onCheckpoint: whole.keep,
    onStep: ({ step, loss, epoch, stage, learningRate }) => {
      expect(step).toBe(losses.push(loss));
      stages.push(stage);
      // A warm-up of half an epoch, then half a cosine over the rest of the stage.
      const [stageStep, stageSteps] = stage === 1 ? [step - 1, 12] : [step - 13, 6];
      const rising = (stageStep + 1) / 3;
      const falling = 0.5 * (1 + Math.cos((Math.PI * (stageStep - 3)) / (stageSteps - 3)));
      expect(learningRate).toBeCloseTo(1e-3 * (stageStep < 3 ? rising : falling), 12);
      const counts = created.get(epoch) ?? new Set();
      // The first step of an epoch may follow a test, or begin a stage.
      if (step % 6 !== 1) created.set(epoch, counts.add(gpu().createdObjects).add(-gpu().allocatedBytes));
    },
  });
  expect(stages).toEqual([...Array(12).fill(1), ...Array(6).fill(2)]);
  expect([...created.values()].map((counts) => counts.size)).toEqual([2, 2, 2]);
  expect(epochs.map(({ epoch, steps }) => [epoch, steps])).toEqual([
    [1, 6],
    [2, 6],
    [3, 6],
  ]);
  for (const { epoch, loss } of epochs) {
    const own = losses.slice(6 * epoch - 6, 6 * epoch);
    expect(loss).toBeCloseTo(own.reduce((a, b) => a + b) / 6, 10);
  }
  expect(epochs[1]?.loss / epochs[0]?.loss).toBeLessThan(0.9);
  expect(tests.map(({ epoch, stage, best }) => [epoch, stage, best])).toEqual([
    [2, 1, true],
    [3, 2, true],
  ]);
  expect(tests[0]?.result.videos[0]?.scores.length).toBe(26);
  expect([...whole.bytes.keys()].sort()).toEqual(["best", "best-student", "latest", "model"]);
  // The model is the best teacher with the best student.
  const [best, student] = ["best", "best-student"].map((name) =>
    openCheckpoint([{ name, bytes: whole.bytes.get(name)! }]),
  );
  const model = openCheckpoint([{ name: "model", bytes: whole.bytes.get("model")! }]);
  for (const [name, { data }] of model.weights) {
    expect(data).toEqual((name.includes("student") ? student : best)?.weights.get(name)?.data);
  }
  expect(checkpoint.weights).toEqual(model.weights);
  // While the student learns, the teacher does not change, except for BatchNorm's statistics.
  const changed = [...best.weights].filter(
    ([name, { data }]) => !data.every((value, i) => value === student?.weights.get(name)?.data[i]),
  );
  expect(changed.every(([name]) => name.includes("student") || name.includes(".running_"))).toBe(true);
  expect(changed.some(([name]) => name === "decoder_student_pred.weight")).toBe(true);
}, 120_000);

for (const [where, step] of [
  ["within stage 1", 4],
  ["at the end of stage 1", 12],
  ["within stage 2", 15],
] as const) {
  it(`a run that is stopped ${where} and resumed ends with the same bits`, async () => {
    const files = new Files();
    const controller = new AbortController();
    const reason = new Error("enough");
    const stopped = train(config, dataset, {
      gpu: gpu(),
      signal: controller.signal,
      onCheckpoint: files.keep,
      onStep: (report) => {
        expect(report.loss).toBe(losses[report.step - 1]);
        if (report.step === step) controller.abort(reason);
      },
    });
    await expect(stopped).rejects.toBe(reason);
    let next: number | undefined;
    await train(config, dataset, {
      gpu: gpu(),
      resume: files.resume(),
      onCheckpoint: files.keep,
      onStep: (report) => {
        next ??= report.step;
        expect(report.loss).toBe(losses[report.step - 1]);
      },
    });
    expect(next).toBeGreaterThan(step);
    expect(next).toBeLessThan(step + 4);
    for (const kind of ["latest", "best", "best-student"]) {
      expect(withoutTime(files.bytes.get(kind))).toEqual(withoutTime(whole.bytes.get(kind)));
    }
    expect(files.bytes.get("model")).toEqual(whole.bytes.get("model"));
  }, 120_000);
}

it("learns the same if not all frames fit into GPU memory", async () => {
  const frameBytes = 4 * ((32 * 48 * 3) / 4 + 1);
  const seen: number[] = [];
  await train({ ...config, epochs: 1, teacherEpochs: 1 }, dataset, {
    gpu: gpu(),
    memory: { frames: 21 * frameBytes },
    onStep: ({ loss }) => seen.push(loss),
  });
  // With fewer epochs the cosine differs, so that only the warm-up can be compared.
  expect(seen.slice(0, 4)).toEqual(losses.slice(0, 4));
}, 60_000);

it("stops if the loss becomes NaN or infinite, and reports the step", async () => {
  const files = new Files();
  const optimizer = { ...config.optimizer, learningRate: 1e30 };
  const run = train({ ...config, optimizer, warmup: 0 }, dataset, { gpu: gpu(), onCheckpoint: files.keep });
  const error = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DivergedError);
  const { step, message } = error as DivergedError;
  expect(step).toBeGreaterThan(1);
  expect(step).toBeLessThan(6);
  expect(message).toMatch(new RegExp(`^the loss is (NaN|Infinity) at step ${step}, in epoch 1: .*lower learning rate`));
  expect(files.bytes.size).toBe(0);
}, 60_000);

it("does not keep weights that are not finite, even if their loss was finite", async () => {
  const files = new Files();
  // As float32 this is infinite: the loss of the first step is finite, its weights are not.
  const optimizer = { ...config.optimizer, learningRate: 1e39 };
  const losses: number[] = [];
  const options: TrainOptions = { gpu: gpu(), onCheckpoint: files.keep, saveEvery: 0 };
  const run = train({ ...config, optimizer, warmup: 0 }, dataset, {
    ...options,
    onStep: ({ loss }) => losses.push(loss),
  });
  await expect(run).rejects.toThrow(/^weights or their moments are not finite at step 1, in epoch 1: /);
  await expect(run).rejects.toThrow(DivergedError);
  expect(losses.length).toBe(1);
  expect(losses[0]).toBeGreaterThan(0);
  expect(files.bytes.size).toBe(0);
}, 60_000);

it("refuses to resume with other settings, other videos, or without the best checkpoints", async () => {
  const resume = whole.resume();
  const again = (changed: Partial<TrainingConfig>, other = dataset, from = resume) =>
    train({ ...config, ...changed }, other, { gpu: gpu(), resume: from });
  await expect(again({ batch: 4, microBatch: 4 })).rejects.toThrow("batch was 8, not 4");
  await expect(again({}, { ...dataset, train: dataset.train.slice(1) })).rejects.toThrow("other videos");
  await expect(again({}, dataset, { latest: resume.latest })).rejects.toThrow("best checkpoints are needed");
  await expect(again({ size: { height: 32, width: 50 } })).rejects.toThrow("does not divide into patches");
});

it("draws fewer samples per epoch than there are, if told so, and other ones in each epoch", async () => {
  const few = { ...config, epochSamples: 17, epochs: 2, teacherEpochs: 2 };
  const { epochs } = await train(few, dataset, { gpu: gpu() });
  // 17 samples are two batches of 8.
  expect(epochs.map(({ steps }) => steps)).toEqual([2, 2]);
  expect(epochs[0]!.loss).not.toBe(epochs[1]!.loss);
  await expect(train({ ...few, epochSamples: 7 }, dataset, { gpu: gpu() })).rejects.toThrow(
    "gives 7 samples per epoch, fewer than a batch of 8",
  );
});
