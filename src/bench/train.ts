import { Command, Option } from "commander";
import { adapterLines } from "../cli/commands/adapters.js";
import { adapterOption, deviceOf, robustOption } from "../cli/options/device.js";
import { patchOption } from "../cli/options/model.js";
import { numberIn, parseSize, wholeNumber } from "../cli/options/parse.js";
import { refuseOutputs } from "../cli/outputs/refuse.js";
import { examples } from "../cli/terminal/examples.js";
import { profileTable } from "../cli/terminal/profile_table.js";
import { Progress } from "../cli/terminal/progress.js";
import { fromIterable } from "../data/frame.js";
import type { Gpu } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { freshWeights } from "../model/init.js";
import { openNodeGpu } from "../node/adapters/gpu.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { versions } from "../node/files/versions.js";
import type { Size } from "../ops/resize.js";
import { uniformGenerator } from "../random.js";
import { checkTrainingConfig, paperTraining, type TrainingConfig } from "../train/config.js";
import { MemoryArchive } from "../train/frame_archive.js";
import { ParameterLayout } from "../train/parameters.js";
import { Sampler } from "../train/sampler.js";
import { Stage, type StepPart, type TrainingState } from "../train/stage.js";
import { largestMicroBatch } from "../train/stage_graph.js";
import { freshScaler } from "../train/training_graph.js";
import { TrainingSet } from "../train/training_set.js";
import { FirstUse } from "../tuner/first_use.js";
import { measure, measurePeak, shownRate } from "./measure.js";

interface TrainBenchOptions {
  size: Size;
  patch?: number;
  width?: number;
  decoderWidth?: number;
  batch?: number;
  microBatch?: number;
  stage: 1 | 2;
  precision: TrainingConfig["precision"];
  seconds: number;
  adapter?: string;
  robust?: boolean;
  listAdapters?: boolean;
  json?: string;
  profile?: boolean;
}

/** Number of noise frames that samples are drawn from. */
const frameCount = 64;

/** `bench/train.js`: measures how fast training runs here. */
export function trainBenchCommand(): Command {
  return new Command("train")
    .description(
      "Measures samples per second of training, synchronised with the GPU, and where the time goes. A step takes raw frames on the GPU, " +
        "pastes anomalies into them, and updates the weights.",
    )
    .addOption(
      new Option("--size <HxW>", "input size of the network, height x width in pixels")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(patchOption())
    .addOption(new Option("--width <n>", "width of the encoder (default: 256)").argParser(wholeNumber(4, 4096)))
    .addOption(new Option("--decoder-width <n>", "width of the decoder (default: 128)").argParser(wholeNumber(4, 4096)))
    .addOption(
      new Option("--batch <n>", "samples per step (default: 100 on a GPU, else 4)").argParser(wholeNumber(1, 10_000)),
    )
    .addOption(
      new Option("--micro-batch <n>", "samples computed together (default: as many as fit)").argParser(
        wholeNumber(1, 10_000),
      ),
    )
    .addOption(
      new Option("--stage <n>", "1 trains the teacher, 2 the student")
        .choices(["1", "2"])
        .default(1)
        .argParser((text) => (text === "2" ? 2 : 1)),
    )
    .addOption(
      new Option("--precision <kind>", "mixed stores activations as float16")
        .choices(["float32", "mixed"])
        .default("float32"),
    )
    .addOption(new Option("--seconds <s>", "how long to measure, in seconds").default(5).argParser(numberIn(0.1, 3600)))
    .option("--profile", "print the GPU time of each op")
    .option("--json <file>", "write the figures to a file")
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("--list-adapters", "list the WebGPU adapters of this machine and stop")
    .addHelpText("after", examples("node bench/train.js --size 160x320 --batch 8"))
    .action(async (options: TrainBenchOptions) => {
      if (options.listAdapters) {
        for (const line of await adapterLines()) console.log(line);
        return;
      }
      await refuseOutputs(options);
      const onNotice = (line: string) => process.stderr.write(`${line}\n`);
      const gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
      try {
        if (options.precision === "mixed") await new FirstUse(gpu, { onNotice }).checkHalf("f16");
        await bench(gpu, options);
      } finally {
        gpu.close();
      }
    });
}

async function bench(gpu: Gpu, options: TrainBenchOptions): Promise<void> {
  // 1. The configuration, noise to train on, and fresh weights.
  const { size, stage: number, seconds, precision } = options;
  const { model } = paperTraining;
  const { patch = model.patch, width = model.encoderWidth, decoderWidth = model.decoderWidth } = options;
  const config: TrainingConfig = {
    ...paperTraining,
    ...{ model: { ...model, patch, encoderWidth: width, decoderWidth }, size, precision },
    ...{ batch: options.batch ?? (gpu.adapter.kind === "gpu" ? 100 : 4), microBatch: options.microBatch ?? 0 },
    ...{ anomalies: "files", epochs: 2, teacherEpochs: 1 },
  };
  checkTrainingConfig(config);
  const set = await noiseSet(size);
  const budget = { activations: 2 ** 34, frames: 2 ** 34 };
  config.microBatch ||= largestMicroBatch(gpu, set, config, budget);
  const layout = new ParameterLayout(config.model);
  const moments = (): Float32Array<ArrayBuffer> => new Float32Array(layout.length);
  const state: TrainingState = {
    ...layout.flatten(freshWeights(config.model, 1)),
    moments: [moments(), moments()],
    scaler: Float32Array.from(freshScaler),
  };
  const before = gpu.allocatedBytes;
  console.log(`adapter       ${gpu.adapter.description} (${gpu.adapter.kind})`);
  const { batch, microBatch } = config;
  console.log(
    `training      ${size.height}x${size.width}, patch ${patch}, widths ${width} and ${decoderWidth}, stage ${number}, batch ${batch} by ${microBatch}, ${precision}`,
  );
  // 2. Samples per second.
  const progress = new Progress("steps", undefined, false, true);
  const stage = await Stage.open(gpu, set, config, number, state, budget);
  try {
    const sampler = new Sampler(set, { seed: 1, size, share: config.anomalyShare, pseudo: config.pseudo });
    let step = 0;
    const steps = async (count: number) => {
      const start = performance.now();
      let loss: Promise<number> | undefined;
      for (let i = 0; i < count; i++) {
        const first = step * batch;
        const samples = Array.from({ length: batch }, (_, k) => sampler.draw(first + k, 0, (first + k) % frameCount));
        ({ loss } = await stage.step(samples, ++step, 1e-4, first));
      }
      await loss;
      await gpu.finish();
      progress.advance(count);
      return (performance.now() - start) / 1000;
    };
    const rate = await measure(seconds, batch, steps).finally(() => progress.stop());
    console.log(`training      ${shownRate(rate, "samples")}, ${(1000 / rate.median).toPrecision(3)} ms per sample`);
    console.log(
      `GPU memory    ${((gpu.allocatedBytes - before) / 1e6).toFixed(0)} MB, ${stage.dispatchCount} dispatches per micro-batch`,
    );
    // 3. Where the time goes.
    const profile = Profiler.available(gpu) ? await stage.profile() : undefined;
    const peak = await measurePeak(gpu, Math.min(seconds, 3));
    const parts = profile && partsOf(profile, peak);
    if (profile && parts) {
      for (const line of partLines(profile, parts, microBatch, rate.median, peak)) console.log(line);
      if (options.profile) for (const line of profileTable(profile)) console.log(line);
    } else {
      console.log("this adapter has no timestamp queries, so the parts of a step cannot be measured");
    }
    if (options.json !== undefined) {
      const report = {
        date: new Date().toISOString(),
        versions: versions(),
        ...{ adapter: gpu.adapter, size, patch, width, decoderWidth, stage: number, batch, microBatch, precision },
        samples: rate,
        ...{ peakGflopPerSecond: peak, memoryBytes: gpu.allocatedBytes - before, dispatches: stage.dispatchCount },
        ...{ parts, profile },
      };
      await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
      console.log(`written       ${options.json}`);
    }
  } finally {
    stage.close();
  }
}

/** A training set with one video of noise, which is also its abnormal frames and masks. */
async function noiseSet(size: Size): Promise<TrainingSet> {
  const random = uniformGenerator(7);
  const frames = Array.from({ length: frameCount }, () =>
    Uint8Array.from({ length: size.height * size.width * 3 }, () => random() * 256),
  );
  const open = async () => fromIterable(() => frames, { ...size, name: "noise" });
  const video = { name: "noise", path: "noise", open, abnormal: { frames: open, masks: open } };
  const dataset = { layout: "folder", root: "noise", train: [video], test: [], notes: [] };
  return TrainingSet.load(dataset, { archive: new MemoryArchive(), anomalies: "files" });
}

type Profile = Awaited<ReturnType<Stage["profile"]>>;

function sum(profile: Profile): { ms: number; flops: number; bytes: number } {
  const total = { ms: 0, flops: 0, bytes: 0 };
  for (const { ms, flops, bytes } of profile) {
    total.ms += ms;
    total.flops += flops;
    total.bytes += bytes;
  }
  return total;
}

/** @param peak GFLOP/s of the best matmul */
function partLines(
  profile: Profile,
  parts: ReturnType<typeof partsOf>,
  microBatch: number,
  samplesPerSecond: number,
  peak: number,
): string[] {
  const { flops } = sum(profile.filter(({ part }) => part !== "optimizer"));
  const achieved = (flops / microBatch) * samplesPerSecond;
  return [
    `arithmetic    ${(flops / microBatch / 1e9).toPrecision(3)} GFLOP per sample, ${(achieved / 1e9).toPrecision(3)} GFLOP/s, ` +
      `${((100 * achieved) / 1e9 / peak).toFixed(0)} % of the best matmul here (${peak.toPrecision(3)} GFLOP/s)`,
    ...parts.map(
      ({ part, ms, share, ofPeak, gbPerSecond }) =>
        `${part.padEnd(12)}  ${ms.toPrecision(3).padStart(6)} ms, ${(100 * share).toFixed(0).padStart(2)} % of the kernels' time, ` +
        `${(100 * ofPeak).toFixed(0)} % of the best matmul, ${gbPerSecond.toPrecision(3)} GB/s`,
    ),
  ];
}

/** For each part of a step: its time in a micro-batch or an optimiser's step, and its rates. */
function partsOf(profile: Profile, peak: number) {
  const total = sum(profile).ms;
  return (["data", "forward", "backward", "optimizer"] satisfies StepPart[]).map((part) => {
    const { ms, flops, bytes } = sum(profile.filter((one) => one.part === part));
    return { part, ms, share: ms / total, ofPeak: flops / ms / 1e6 / peak, gbPerSecond: bytes / ms / 1e6 };
  });
}
