import { GpuError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import { differentiate } from "../graph/autodiff.js";
import { Graph, type Tensor } from "../graph/graph.js";
import type { SdMaeConfig } from "../model/config.js";
import type { TokenGrid } from "../model/masking.js";
import { TrainingNetwork } from "../model/training_network.js";
import { accumulateOp } from "../ops/accumulate.js";
import { adamWOp } from "../ops/adamw.js";
import { addTo } from "../ops/add.js";
import { tokenErrorsOp } from "../ops/errors.js";
import { nonFiniteOp, scaleLossOp, scalerWords, updateScalerOp } from "../ops/loss_scaling.js";
import { lossWeightsOp, maskedLossOp, weightedLossOp } from "../ops/losses.js";
import { patchMotionOp } from "../ops/masking.js";
import { isHalfWrong } from "../tuner/half_check.js";
import { ParameterLayout, type ParameterRange } from "./parameters.js";

/** What a step of training is made of. */
export interface TrainingGraphOptions {
  config: SdMaeConfig;
  grid: TokenGrid;
  /** 1: the teacher learns to reconstruct. 2: the student learns to predict what the teacher does. */
  stage: 1 | 2;
  /** Stage 1: tokens weighted by their motion (the default of the original), or the mean over removed tokens. */
  loss: "gradient-weighted" | "masked";
  /** Stage 1: targets normalised by their token's mean and variance. */
  normalizeTarget: boolean;
  /** Rate of dropout in MLPs. */
  dropout: number;
  /**
   * float32, unless said otherwise. Mixed: activations and their gradients are stored as float16, everything is computed in float32, and weights,
   * their gradients, statistics and losses stay float32; the loss is scaled so that small gradients do not vanish.
   */
  precision?: "float32" | "mixed";
}

/** What the data's side of the graph gives: tensors for a micro-batch of B samples. */
export interface TrainingBatch {
  /** [slots, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, sampleWords], slots of frames and targets. */
  samples: Tensor;
  /** [slots, H, W] packed B, G, R, anomaly mask. */
  targets: Tensor;
  /** Motion gradient [B, H, W] packed. */
  gradient: Tensor;
  /** [B, keep] */
  idsKeep: Tensor;
  /** [B, L] */
  idsRestore: Tensor;
}

/** What a loss scaler's state is at the start of training: its scale, 65536 as customary, and no steps so far. */
export const freshScaler: readonly number[] = [65536, 0, 0, 0];

/** Good steps in a row after which the loss's scale is doubled. */
const scaleInterval = 2000;

/** The optimiser's phase of a training graph. */
export const optimizerPhase = "optimizer";

/** A training step as a graph, and where the host writes and reads. */
export interface TrainingGraph {
  graph: Graph;
  layout: ParameterLayout;
  /** Flat states, by {@link ParameterLayout}. */
  trained: Tensor;
  running: Tensor;
  /** Summed over micro-batches until the optimiser's phase, which leaves zeros. */
  gradients: Tensor;
  /** AdamW's first and second moments. */
  moments: readonly [Tensor, Tensor];
  /** [2]: the run's seed and the micro-step's number, for dropout. */
  seed: Tensor;
  /** [1]: the share of the loss that counts: 1, or 1 over the micro-batches of a step where the loss is a mean over the batch. */
  lossScale: Tensor;
  /** [8] for {@link adamWOp}: of tensors with weight decay, and without. With a scaler the corrections for the step's number are its own. */
  hyper: { decays: Tensor; plain: Tensor };
  /** Mixed precision's state [4], {@link freshScaler} at first: the loss's scale (also an output, `loss scale` [1]), and of which steps were made. */
  scaler?: Tensor;
  /** The predictions that the loss is of [B, 1 + L, P·P·4]; f16 in mixed precision. */
  predictions: Tensor;
}

/**
 * Builds a micro-batch's forward and backward pass, whose output is `loss` [1], and the optimiser's
 * step as a phase of its own.
 * @param data adds the data's side to the graph
 * @throws GpuError for mixed precision on an adapter that has no float16, or was found to compute
 * it wrongly
 */
export function buildTrainingGraph(
  target: Target,
  options: TrainingGraphOptions,
  data: (graph: Graph) => TrainingBatch,
): TrainingGraph {
  const { config, grid, stage } = options;
  const { patch } = config;
  const mixed = options.precision === "mixed";
  if (mixed && !target.features.has("shader-f16")) {
    throw new GpuError(
      `adapter "${target.adapter.description}" has no float16 (shader-f16), which mixed precision needs: train in float32 there`,
    );
  }
  if (mixed && isHalfWrong(target)) {
    throw new GpuError(
      `float16 failed its check on adapter "${target.adapter.description}", and mixed precision needs it: train in float32 there`,
    );
  }
  const graph = new Graph(target);
  const layout = new ParameterLayout(config);
  const flat = (name: string) => graph.state(name, [layout.length], "f32");
  const [trained, gradients, m, v] = ["trained", "gradients", "moments 1", "moments 2"].map(flat) as Quadruple;
  const running = graph.state("running", [layout.runningLength], "f32");
  const seed = graph.input("dropout seed", [2], "u32");
  const lossScale = graph.input("loss scale", [1], "f32");
  const batch = data(graph);
  const used = new Map<string, Tensor>();
  const network = new TrainingNetwork(
    graph,
    config,
    {
      tensor: (name, shape) => {
        const tensor = used.get(name) ?? layout.slice(graph, trained, name, shape);
        used.set(name, tensor);
        return tensor;
      },
      running: (block) => layout.runningSlice(graph, running, block),
    },
    options.dropout,
    mixed ? "f16" : "f32",
  );
  const { teacher, student } = network.build({ ...batch, seed }, grid, stage === 2);
  const inputs = [batch.targets, batch.samples, teacher, ...(student ? [student] : [])];
  const normalizeTarget = stage === 1 && options.normalizeTarget;
  const [errors] = graph.apply(tokenErrorsOp, inputs, { patch, norm: "L2", normalizeTarget }) as [Tensor];
  const error = stage === 1 ? "target" : "student";
  let loss: Tensor;
  if (stage === 1 && options.loss === "gradient-weighted") {
    const [motion] = graph.apply(patchMotionOp, [batch.gradient], { patch }) as [Tensor];
    const moving = [batch.gradient, motion, batch.targets, batch.samples];
    const [weights] = graph.apply(lossWeightsOp, moving, { patch }) as [Tensor];
    [loss] = graph.apply(weightedLossOp, [errors, weights], { error, keep: grid.keep }) as [Tensor];
  } else {
    [loss] = graph.apply(maskedLossOp, [errors, batch.idsRestore], { error, keep: grid.keep }) as [Tensor];
  }
  graph.output("loss", loss);
  const scaler = mixed ? graph.state("loss scaler", [scalerWords], "f32") : undefined;
  if (scaler) graph.output("loss scale", graph.slice("loss scale", scaler, 0, [1]));

  const learns = layout.ranges.filter((range) => range.student === (stage === 2));
  const isLearnt = (tensor: Tensor) =>
    learns.some(({ offset, length }) => (tensor.offset ?? 0) >= offset && (tensor.offset ?? 0) < offset + length);
  const wanted = [...used].filter(([, tensor]) => isLearnt(tensor));
  const start = scaler ? graph.apply(scaleLossOp, [lossScale, scaler], {})[0] : lossScale;
  const found = differentiate(
    graph,
    loss,
    start,
    wanted.map(([, tensor]) => tensor),
    addTo,
  );
  for (const [i, [name, tensor]] of wanted.entries()) {
    const gradient = found[i];
    if (!gradient) throw new Error(`the loss does not depend on ${name}`);
    const total = graph.slice(`gradient of ${name}`, gradients, tensor.offset ?? 0, tensor.shape);
    graph.apply(accumulateOp, [total, gradient], {});
  }
  const hyper = { decays: graph.input("hyper, decay", [8], "f32"), plain: graph.input("hyper, no decay", [8], "f32") };
  graph.phase(optimizerPhase, () => {
    const numbers = scaler ? scaledHyper(graph, scaler, gradients, learns, hyper) : hyper;
    for (const { offset, length, decays } of learns) {
      const parts = [trained, gradients, m, v].map((state) => graph.slice(state.name, state, offset, [length]));
      graph.apply(adamWOp, [...parts, decays ? numbers.decays : numbers.plain], {});
    }
  });
  const predictions = student ?? teacher;
  const states = { trained, running, gradients, moments: [m, v] as const, ...(scaler && { scaler }) };
  return { graph, layout, ...states, seed, lossScale, hyper, predictions };
}

/** AdamW's numbers for gradients of a scaled loss, once the scaler has seen whether they are finite. */
function scaledHyper(
  graph: Graph,
  scaler: Tensor,
  gradients: Tensor,
  learns: readonly ParameterRange[],
  { decays, plain }: TrainingGraph["hyper"],
): TrainingGraph["hyper"] {
  const first = Math.min(...learns.map(({ offset }) => offset));
  const end = Math.max(...learns.map(({ offset, length }) => offset + length));
  const learnt = graph.slice("learnt gradients", gradients, first, [end - first]);
  const [found] = graph.apply(nonFiniteOp, [learnt], {}) as [Tensor];
  const numbers = graph.apply(updateScalerOp, [scaler, found, decays, plain], { interval: scaleInterval });
  return { decays: numbers[1], plain: numbers[2] };
}

type Quadruple = [Tensor, Tensor, Tensor, Tensor];
