import { describe, expect, it } from "vitest";
import type { TrainingCheckpoint } from "../../src/checkpoint/training_checkpoint.js";
import { sceneCollection } from "../../src/data/scene/dataset.js";
import type { Gpu, Target } from "../../src/gpu/gpu.js";
import { Program } from "../../src/graph/program.js";
import { freshWeights } from "../../src/model/init.js";
import { adamWHyper, paperAdamW } from "../../src/train/adamw.js";
import { paperTraining, type TrainingConfig } from "../../src/train/config.js";
import { train as learn, type TrainOptions } from "../../src/train/trainer.js";
import { freshScaler, optimizerPhase } from "../../src/train/training_graph.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { tinyConfig } from "../support/model.js";
import { writeSceneBatch } from "../support/scene_batch.js";
import { trainingGraph } from "../support/training.js";

const gpu = useGpu(testAdapter, { guarded: false });
/** Computes the float32 reference. SwiftShader compiles at once, lavapipe takes a minute. */
const quick = useGpu("swiftshader", { guarded: false });
const size = { height: 32, width: 48 };
const options = {
  ...({ config: tinyConfig, size, batch: 2, stage: 1, loss: "gradient-weighted" } as const),
  ...{ normalizeTarget: false, dropout: 0 },
};

interface Run {
  losses: number[];
  scales: number[];
  /** All trained tensors at the end. */
  trained: Float32Array;
}

/** Trains the tiny network; in mixed precision if `scale`, the initial loss scale, is given. */
async function train(device: Gpu, steps: number, scale?: number, seed = 1): Promise<Run> {
  const built = trainingGraph(device, { ...options, precision: scale ? "mixed" : "float32" });
  const program = await Program.compile(device, built.graph);
  try {
    const { trained, running } = built.layout.flatten(freshWeights(tinyConfig, seed));
    program.write(built.trained, trained);
    program.write(built.running, running);
    if (built.scaler && scale) program.write(built.scaler, Float32Array.of(scale, ...freshScaler.slice(1)));
    writeSceneBatch(program, built, size);
    const settings = { ...paperAdamW, learningRate: 2e-3 };
    const [losses, scales]: [number[], number[]] = [[], []];
    for (let step = 1; step <= steps; step++) {
      program.write(built.hyper.decays, adamWHyper(settings, step, true));
      program.write(built.hyper.plain, adamWHyper(settings, step, false));
      const { loss, "loss scale": current } = await program.run();
      program.submit(optimizerPhase);
      losses.push(loss[0]);
      scales.push(current?.[0] ?? 1);
    }
    return { losses, scales, trained: (await program.read(built.trained)) as Float32Array };
  } finally {
    program.close();
  }
}

// On lavapipe the network may compile for minutes.
describe("training in mixed precision", { timeout: 400_000 }, () => {
  it("follows the losses of float32", async (test) => {
    needsHalf(gpu(), test);
    const apart: number[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const wanted = await train(quick(), 100, undefined, seed);
      expect(wanted.losses.at(-1)! / wanted.losses[0]).toBeLessThan(0.2);
      const { losses, scales } = await train(gpu(), 100, 4096, seed);
      apart.push(Math.max(...losses.map((loss, i) => Math.abs(loss / wanted.losses[i] - 1))));
      expect(new Set(scales)).toEqual(new Set([4096]));
    }
    // Some gradients are almost zero. AdamW turns their rounding errors into whole steps, which
    // lead some seeds further away.
    apart.sort((x, y) => x - y);
    expect(apart[1]).toBeLessThan(1e-3);
    expect(apart[2]).toBeLessThan(1e-2);
  });

  it("skips steps whose gradients overflow until the scale fits, with the same bits each time", async (test) => {
    needsHalf(gpu(), test);
    const { losses, scales, trained } = await train(gpu(), 40, 2 ** 34);
    const good = scales.findIndex((scale, i) => scale === scales[i + 1]);
    expect(good).toBeGreaterThan(3);
    for (let i = 0; i < good; i++) expect(scales[i]).toBe(2 ** (34 - i));
    // Nothing is learned until then. Afterwards the steps are those of a run that begins with
    // this scale.
    for (const loss of losses.slice(0, good + 1)) expect(loss).toBe(losses[0]);
    const fitting = await train(gpu(), 40 - good, scales[good]);
    expect(losses.slice(good)).toEqual(fitting.losses);
    expect(await train(gpu(), 40, 2 ** 34)).toEqual({ losses, scales, trained });
  });

  it("resumes from a checkpoint with the same bits, the loss scale included", async (test) => {
    needsHalf(gpu(), test);
    const seeds = { trainSeeds: [1], testSeeds: [] };
    const dataset = sceneCollection({ ...size, ...seeds, fps: 10, train: 1, test: 0, frames: 12 });
    const config: TrainingConfig = {
      ...{ ...paperTraining, model: tinyConfig, size, batch: 2, microBatch: 2, epochs: 1, teacherEpochs: 1 },
      ...{ dropout: 0, anomalies: "none", precision: "mixed" },
    };
    const run = async (given: TrainOptions, stopAfter = Number.POSITIVE_INFINITY) => {
      const controller = new AbortController();
      let latest: TrainingCheckpoint | undefined;
      const done = learn(config, dataset, {
        ...{ gpu: gpu(), signal: controller.signal, ...given },
        onStep: ({ step }) => step === stopAfter && controller.abort(new Error("enough")),
        onCheckpoint: (kind, checkpoint) => {
          if (kind === "latest") latest = checkpoint;
        },
      });
      if (Number.isFinite(stopAfter)) await expect(done).rejects.toThrow("enough");
      else await done;
      return latest as TrainingCheckpoint;
    };
    const whole = await run({});
    const resumed = await run({ resume: { latest: await run({}, 3) } });
    expect(resumed.checkpoint.weights).toEqual(whole.checkpoint.weights);
    expect(resumed.optimizer).toEqual(whole.optimizer);
    const scalerOf = ({ training }: TrainingCheckpoint) => (training as { scaler: number[] }).scaler;
    expect(scalerOf(resumed)).toEqual(scalerOf(whole));
    // 1 − β1^t after t steps; some of the six may have been skipped.
    const made = Math.log(1 - scalerOf(whole)[2]) / Math.log(0.9);
    expect(made).toBeCloseTo(Math.round(made), 4);
    expect(Math.round(made)).toBeGreaterThan(2);
    expect(Math.round(made)).toBeLessThanOrEqual(6);
  });

  it("is refused if float16 failed its check", () => {
    const features = new Set(["shader-f16"]);
    const target: Target = {
      ...{ adapter: { ...gpu().adapter, kind: "gpu", vendor: "nvidia" }, limits: gpu().limits, features },
      tuning: new Map([["float16", "wrong"]]),
    };
    expect(() => trainingGraph(target, { ...options, precision: "mixed" })).toThrow(
      /^float16 failed its check on adapter ".*", and mixed precision needs it: train in float32 there$/,
    );
  });

  it("is refused if the adapter has no float16", () => {
    const target: Target = { adapter: gpu().adapter, limits: gpu().limits, features: new Set(["subgroups"]) };
    expect(() => trainingGraph(target, { ...options, precision: "mixed" })).toThrow("has no float16 (shader-f16)");
  });

  it("is refused before any video is opened", async () => {
    const without: Gpu = Object.create(gpu(), { features: { value: new Set(["subgroups"]) } });
    const scene = { ...size, fps: 10, trainSeeds: [1], testSeeds: [], train: 1, test: 0, frames: 12, anomalies: [] };
    const dataset = sceneCollection(scene);
    const opened: string[] = [];
    const train = dataset.train.map((video) => ({
      ...video,
      open: () => {
        opened.push(video.name);
        return video.open();
      },
    }));
    const config: TrainingConfig = { ...paperTraining, model: tinyConfig, size, precision: "mixed" };
    await expect(learn(config, { ...dataset, train }, { gpu: without })).rejects.toThrow("has no float16 (shader-f16)");
    expect(opened).toEqual([]);
  });
});
