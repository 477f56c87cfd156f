// One of the two stages of training on the GPU: takes samples, makes optimiser steps.
import type { Gpu } from "../gpu/gpu.js";
import { type NodeProfile, Program } from "../graph/program.js";
import { adamWHyper } from "./adamw.js";
import type { TrainingConfig } from "./config.js";
import { Loader } from "./loader.js";
import type { DrawnSample } from "./sampler.js";
import { buildStage, type MemoryBudget, slotCount } from "./stage_graph.js";
import { freshScaler, optimizerPhase, type TrainingGraph } from "./training_graph.js";
import type { TrainingSet } from "./training_set.js";

/**
 * Trained tensors, BatchNorm's running statistics and AdamW's moments as flat states, by
 * `ParameterLayout` (parameters.ts).
 */
export interface TrainingState {
  trained: Float32Array<ArrayBuffer>;
  running: Float32Array<ArrayBuffer>;
  moments: [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];
  /** [4], for mixed precision: the loss scale and what it is updated from. */
  scaler: Float32Array<ArrayBuffer>;
}

/** One of the two stages of training, ready on the GPU. */
export class Stage {
  private constructor(
    readonly number: 1 | 2,
    private readonly config: TrainingConfig,
    private readonly program: Program,
    private readonly built: TrainingGraph,
    private readonly loader: Loader,
  ) {}

  /**
   * Compiles a stage and uploads a state.
   * @throws GpuError if the GPU fails, InputError if the frames of a micro-batch exceed the budget
   */
  static async open(
    gpu: Gpu,
    set: TrainingSet,
    config: TrainingConfig,
    stage: 1 | 2,
    state: TrainingState,
    budget: MemoryBudget,
  ): Promise<Stage> {
    const slots = slotCount(gpu, set, config, budget);
    const { built, data } = buildStage(gpu, set.sizes, config, stage, config.microBatch, slots);
    const program = await Program.compile(gpu, built.graph);
    program.write(built.trained, state.trained);
    program.write(built.running, state.running);
    for (const [i, tensor] of built.moments.entries()) program.write(tensor, state.moments[i]);
    if (built.scaler) program.write(built.scaler, state.scaler);
    program.write(built.lossScale, Float32Array.of(shareOfLoss(config, stage)));
    return new Stage(stage, config, program, built, new Loader(program, data, set, config.seed));
  }

  /** Begins to read the frames of a step's samples from the archive. */
  prefetch(samples: readonly DrawnSample[]): void {
    this.loader.prefetch(samples);
  }

  /**
   * Submits a step: its micro-batches, then the optimiser.
   * @param samples as many as the batch
   * @param step the optimiser step within this stage, from 1
   * @param firstMicroStep number of the first micro-batch in the run, from 0: dropout depends on it
   * @returns once everything is submitted; the loss follows
   */
  async step(
    samples: readonly DrawnSample[],
    step: number,
    learningRate: number,
    firstMicroStep: number,
  ): Promise<{ loss: Promise<number> }> {
    const { program, loader } = this;
    const { hyper, seed: dropoutSeed } = this.built;
    const { microBatch, batch, seed } = this.config;
    const losses: Promise<number>[] = [];
    for (let first = 0; first < batch; first += microBatch) {
      await program.ready();
      await loader.write(samples.slice(first, first + microBatch));
      program.write(dropoutSeed, Uint32Array.of(seed, firstMicroStep + first / microBatch));
      const loss = program.run().then((results) => results.loss[0]);
      loss.catch(() => {}); // The error is thrown when the step's loss is awaited.
      losses.push(loss);
    }
    const optimizer = { ...this.config.optimizer, learningRate };
    program.write(hyper.decays, adamWHyper(optimizer, step, true));
    program.write(hyper.plain, adamWHyper(optimizer, step, false));
    program.submit(optimizerPhase);
    const share = shareOfLoss(this.config, this.number);
    const loss = Promise.all(losses).then((all) => share * all.reduce((a, b) => a + b, 0));
    loss.catch(() => {});
    return { loss };
  }

  /** Waits for all submitted steps, then reads the state. */
  async read(): Promise<TrainingState> {
    const { trained, running, moments, scaler } = this.built;
    const read = async (tensor: typeof trained) => (await this.program.read(tensor)) as Float32Array<ArrayBuffer>;
    const [m, v] = moments;
    return {
      trained: await read(trained),
      running: await read(running),
      moments: [await read(m), await read(v)],
      scaler: scaler ? await read(scaler) : Float32Array.from(freshScaler),
    };
  }

  /**
   * Times each kernel of a micro-batch and the optimiser, on the samples of the last step. Needs
   * timestamp queries.
   */
  async profile(): Promise<(NodeProfile & { part: StepPart })[]> {
    const profiles = await this.program.profile();
    return profiles.map((profile) => ({ ...profile, part: partOf(profile) }));
  }

  /** Kernels of a micro-batch and the optimiser. */
  get dispatchCount(): number {
    return this.program.dispatchCount;
  }

  close(): void {
    this.program.close();
  }
}

/**
 * Factor of a micro-batch's loss in the step's loss. The gradient-weighted loss is a sum over
 * samples, the masked one a mean (docs/method.md §3).
 */
function shareOfLoss({ loss, batch, microBatch }: TrainingConfig, stage: 1 | 2): number {
  return stage === 1 && loss === "gradient-weighted" ? 1 : microBatch / batch;
}

/** The parts of a step. */
export type StepPart = "data" | "forward" | "backward" | "optimizer";

const dataOps = new Set([
  "gatherFrames",
  "gatherMotion",
  "paste",
  "augment",
  "growMask",
  "noise",
  "patchMotion",
  "rankTokens",
]);

function partOf({ name, op, phase }: NodeProfile): StepPart {
  if (phase === optimizerPhase) return "optimizer";
  if (dataOps.has(op)) return "data";
  return op === "accumulate" || name.includes("gradient of") ? "backward" : "forward";
}
