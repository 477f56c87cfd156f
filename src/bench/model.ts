// The score graph with frames of noise, for benchmarks that measure the model without its input.
import { Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { ClipWindow } from "../detector/clip_window.js";
import { tunedScoreGraph } from "../detector/score_graph.js";
import type { ScoreSettings } from "../detector/settings.js";
import type { Gpu } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { type NodeProfile, Program } from "../graph/program.js";
import { noSlot } from "../ops/resize.js";
import { packSamples } from "../ops/samples.js";
import { uniformGenerator } from "../random.js";
import type { FirstUse } from "../tuner/first_use.js";
import { measure, summary, timed } from "./measure.js";

/** `--checkpoint` of the benchmarks. */
export function checkpointOption(): Option {
  return new Option("--checkpoint <file>", "the model to run (default: the paper's sizes with fresh weights)");
}

/** A model that is ready to run. */
export interface OpenModel {
  program: Program;
  /** GPU memory. */
  memoryBytes: number;
}

/**
 * Prepares the model with frames of noise on the device. Each step is a steady one of a stream: it
 * resizes as many frames as it scores, without upload and read-back. The caller closes the program.
 * @param firstUse checks and tunes the kernels first; absent if they are taken as they are
 */
export async function openModel(
  gpu: Gpu,
  { config, weights }: Checkpoint,
  settings: ScoreSettings,
  batch: number,
  firstUse?: FirstUse,
): Promise<OpenModel> {
  const slots = ClipWindow.slotsFor(batch);
  const before = gpu.allocatedBytes;
  const options = { config, weights, settings, source: settings.size, batch, slots, anomalyMap: false };
  const built = await tunedScoreGraph(gpu, options, firstUse);
  const program = await Program.compile(gpu, built.graph);
  try {
    const noise = uniformGenerator(7);
    const bytes = Uint8Array.from(
      { length: 4 * Math.ceil((settings.size.height * settings.size.width * 3) / 4) },
      () => noise() * 256,
    );
    for (let slot = 0; slot < slots; slot++) program.write(built.ring.raw, bytes, slot * 4 * built.ring.raw.shape[1]);
    const rows = Array.from({ length: batch }, (_, b) => ({
      ...{ previous: b, current: b + 3, next: b + 6, before: b + 2, after: b + 4 },
      ...{ target: b + 3, frame: b },
    }));
    program.write(built.samples, packSamples(rows));
    const resize = (count: number) =>
      program.write(
        built.ring.slots,
        Uint32Array.from({ length: slots }, (_, i) => (i < count ? i : noSlot)),
      );
    resize(slots);
    await timed(program, 1);
    resize(batch); // a steady step resizes as many frames as it scores
    return { program, memoryBytes: gpu.allocatedBytes - before };
  } catch (error) {
    program.close();
    throw error;
  }
}

/** The result of {@link measureModel}. */
export type ModelFigures = Awaited<ReturnType<typeof measureModel>>;

/** Measures the model without its input, and closes it. */
export async function measureModel(
  { program, memoryBytes }: OpenModel,
  batch: number,
  seconds: number,
  profile: boolean,
) {
  try {
    const rate = await measure(seconds, batch, (steps) => timed(program, steps));
    const { flops, bytes: moved } = program.cost;
    const alone: number[] = [];
    for (let i = 0; i < 9; i++) alone.push(1000 * (await timed(program, 1)));
    const profiled: NodeProfile[] | undefined =
      profile && Profiler.available(program.gpu) ? await program.profile() : undefined;
    return {
      rate,
      /** Of one batch alone, in ms. */
      latency: summary(alone),
      flopsPerFrame: flops / batch,
      bytesPerFrame: moved / batch,
      dispatches: program.dispatchCount,
      memoryBytes,
      profile: profiled,
    };
  } finally {
    program.close();
  }
}
