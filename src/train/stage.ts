import { GpuError, InputError } from "../errors.js";
import type { Gpu, Target } from "../gpu/gpu.js";
import { byteSize } from "../graph/graph.js";
import { planMemory } from "../graph/plan.js";
import { type NodeProfile, Program } from "../graph/program.js";
import { tokenGrid } from "../model/masking.js";
import { rawSlotWords, type Size } from "../ops/resize.js";
import { adamWHyper } from "./adamw.js";
import type { TrainingConfig } from "./config.js";
import { buildDataGraph, type DataGraph } from "./data_graph.js";
import { Loader } from "./loader.js";
import { type DrawnSample, framesPerSample } from "./sampler.js";
import { buildTrainingGraph, freshScaler, optimizerPhase, type TrainingGraph } from "./training_graph.js";
import type { TrainingSet } from "./training_set.js";

/** What training may take of the GPU's memory, in bytes. */
export interface MemoryBudget {
  /** For what is computed in a step. */
  activations: number;
  /** For frames that stay. */
  frames: number;
}

/** Trained tensors, BatchNorm's running statistics and AdamW's moments as they lie on the GPU, by {@link ParameterLayout}. */
export interface TrainingState {
  trained: Float32Array<ArrayBuffer>;
  running: Float32Array<ArrayBuffer>;
  moments: [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];
  /** [4], of mixed precision: the loss's scale, and of which steps were made. */
  scaler: Float32Array<ArrayBuffer>;
}

/** A stage's graph: both passes with the optimiser, and the data's side. */
export interface BuiltStage {
  built: TrainingGraph;
  data: DataGraph;
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

  /** Compiles a stage and puts a state into it. @throws GpuError where memory does not do */
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

  /** Begins to read the frames of a step's samples. */
  prefetch(samples: readonly DrawnSample[]): void {
    this.loader.prefetch(samples);
  }

  /**
   * Submits a step: micro-batches, and the optimiser.
   * @param step the optimiser's steps in this stage, from 1, @param firstMicroStep counts micro-batches of the run: dropout is drawn by it
   * @returns what will be the loss, once all is submitted
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
      const loss = program.run().then((results) => (results.loss as Float32Array)[0]);
      loss.catch(() => {}); // seen when the step's is awaited
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

  /** Waits for all that was submitted, and reads the state. */
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

  /** Each kernel's time in a micro-batch and an optimiser's step, of the samples that were trained on last (timestamp queries). */
  async profile(): Promise<(NodeProfile & { part: StepPart })[]> {
    const profiles = await this.program.profile();
    return profiles.map((profile) => ({ ...profile, part: partOf(profile) }));
  }

  /** Kernels of a micro-batch and an optimiser's step. */
  get dispatchCount(): number {
    return this.program.dispatchCount;
  }

  close(): void {
    this.program.close();
  }
}

/** How much a micro-batch's loss counts in a step's: of the masked loss, a mean over samples, it is a part; the gradient-weighted one is a sum over samples. */
function shareOfLoss({ loss, batch, microBatch }: TrainingConfig, stage: 1 | 2): number {
  return stage === 1 && loss === "gradient-weighted" ? 1 : microBatch / batch;
}

/** What a step is made of. */
export type StepPart = "data" | "forward" | "backward" | "optimizer";

const dataOps = new Set(["gatherFrames", "gatherMotion", "paste", "growMask", "noise", "patchMotion", "rankTokens"]);

function partOf({ name, op, phase }: NodeProfile): StepPart {
  if (phase === optimizerPhase) return "optimizer";
  if (dataOps.has(op)) return "data";
  return op === "accumulate" || name.includes("gradient of") ? "backward" : "forward";
}

/** Builds the graph of a stage for micro-batches of `samples` samples from a ring of `slots` frames. */
export function buildStage(
  target: Target,
  sources: readonly Size[],
  config: TrainingConfig,
  stage: 1 | 2,
  samples: number,
  slots: number,
): BuiltStage {
  const { model, size, masking, loss, normalizeTarget, dropout, precision, maskGrowth } = config;
  const grid = tokenGrid(size, model.patch, config.maskRatio);
  let data: DataGraph | undefined;
  const anomalies = hasAnomalies(config);
  const options = { config: model, grid, stage, loss, normalizeTarget, dropout, precision };
  const built = buildTrainingGraph(target, options, (graph) => {
    const frames = { sources, size, patch: model.patch, slots };
    data = buildDataGraph(graph, { ...frames, grid, masking, samples, anomalies, maskGrowth });
    return data.batch;
  });
  return { built, data: data as DataGraph };
}

/** Whether samples may be abnormal. */
function hasAnomalies({ anomalies, anomalyShare }: TrainingConfig): boolean {
  return anomalies !== "none" && anomalyShare > 0;
}

/**
 * The most samples that are computed together: the largest divisor of the batch that memory allows.
 * @throws GpuError where it does not allow one
 */
export function largestMicroBatch(
  target: Target,
  sources: readonly Size[],
  config: TrainingConfig,
  { activations }: MemoryBudget,
): number {
  const { maxStorageBufferBindingSize: largest } = target.limits;
  let smallest = 0;
  for (let samples = config.batch; samples >= 1; samples--) {
    if (config.batch % samples !== 0) continue;
    const fits = ([1, 2] as const).every((stage) => {
      if (stage === 2 && config.teacherEpochs === config.epochs) return true;
      const { graph } = buildStage(target, sources, config, stage, samples, 1).built;
      const { slotBytes } = planMemory(graph);
      smallest = slotBytes.reduce((a, b) => a + b, 0);
      return (
        smallest <= activations && [...slotBytes, ...graph.tensors.map(byteSize)].every((bytes) => bytes <= largest)
      );
    });
    if (fits) return samples;
  }
  throw new GpuError(
    `a sample of ${config.size.height}x${config.size.width} takes ${mib(smallest)} MiB to learn from; ${mib(activations)} MiB are allowed, ` +
      `${mib(largest)} MiB in one buffer: a smaller size, or a larger patch, helps`,
  );
}

/** Frames that the GPU can keep: all of them, or as many as fit. @throws InputError where a step's do not fit */
function slotCount(target: Target, set: TrainingSet, config: TrainingConfig, { frames }: MemoryBudget): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = target.limits;
  const bytes = 4 * Math.max(...set.sizes.map(rawSlotWords));
  const fitting = Math.floor(Math.min(frames, maxStorageBufferBindingSize, maxBufferSize) / bytes);
  // Its own frames, and those before and after.
  const needed = config.microBatch * (framesPerSample[hasAnomalies(config) ? "abnormal" : "normal"] + 2);
  if (fitting < Math.min(needed, set.frameCount)) {
    throw new InputError(
      `a micro-batch of ${config.microBatch} needs up to ${needed} frames of ${mib(bytes)} MiB, and ${fitting} fit: a smaller micro-batch (--micro-batch), or more memory for frames (--frame-memory), helps`,
    );
  }
  return Math.min(set.frameCount, fitting);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toPrecision(3);
}
