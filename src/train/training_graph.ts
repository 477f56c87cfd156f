// A training step as a graph: forward pass, loss, backward pass, optimiser.
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
import { lossWeightsOp } from "../ops/loss_weights.js";
import { maskedLossOp, weightedLossOp } from "../ops/losses.js";
import { nonFiniteOp } from "../ops/non_finite.js";
import { patchMotionOp } from "../ops/patch_motion.js";
import { scaleLossOp } from "../ops/scale_loss.js";
import { tokenErrorsOp } from "../ops/token_errors.js";
import { scalerWords, updateScalerOp } from "../ops/update_scaler.js";
import { isHalfWrong } from "../tuner/half_check.js";
import { ParameterLayout, type ParameterRange } from "./parameters.js";

/** What a training graph is built from. */
export interface TrainingGraphOptions {
  config: SdMaeConfig;
  grid: TokenGrid;
  /** 1: the teacher learns to reconstruct frames. 2: the student learns to imitate the teacher. */
  stage: 1 | 2;
  /** Stage 1: weighted by motion (the original's default), or the mean over removed tokens. */
  loss: "gradient-weighted" | "masked";
  /** The least weight of a token in the gradient-weighted loss, in grey levels. Default 0. */
  lossFloor?: number;
  /** Stage 1: whether targets are normalised by their token's mean and variance. */
  normalizeTarget: boolean;
  /** Dropout rate in MLPs. */
  dropout: number;
  /**
   * Default float32. Mixed: activations and their gradients are stored as float16. All arithmetic
   * is float32, and so are weights, their gradients, statistics and losses. The loss is scaled so
   * that small gradients do not become 0.
   */
  precision?: "float32" | "mixed";
}

/** The tensors that the data's part of the graph makes for a micro-batch of B samples. */
export interface TrainingBatch {
  /** [slots, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, sampleWords]: slots of frames and targets. */
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

/** The loss scaler's state when training begins: scale 65536, as is usual, and no steps. */
export const freshScaler: readonly number[] = [65536, 0, 0, 0];

/** Good steps in a row after which the loss scale is doubled. */
const scaleInterval = 2000;

/** The optimiser's phase of a training graph. */
export const optimizerPhase = "optimizer";

/** A training step as a graph, and the tensors that the host writes and reads. */
export interface TrainingGraph {
  graph: Graph;
  layout: ParameterLayout;
  /** Flat states, by {@link ParameterLayout}. */
  trained: Tensor;
  running: Tensor;
  /** Summed over micro-batches. The optimiser's phase sets them to 0. */
  gradients: Tensor;
  /** AdamW's first and second moments. */
  moments: readonly [Tensor, Tensor];
  /** [2], for dropout: the run's seed and the number of the micro-batch. */
  seed: Tensor;
  /** [1]: factor of the loss: 1, or 1 / micro-batches per step if it is a mean over samples. */
  lossScale: Tensor;
  /**
   * [8] each, for {@link adamWOp}: for tensors with weight decay, and without. A loss scaler counts
   * steps itself, and replaces the corrections for the step's number.
   */
  hyper: { decays: Tensor; plain: Tensor };
  /**
   * [4], of mixed precision: the loss scale (also an output, `loss scale` [1]) and counts of steps.
   * Begins as {@link freshScaler}.
   */
  scaler?: Tensor;
  /** Predictions [B, 1 + L, P·P·4] that the loss is computed from; f16 in mixed precision. */
  predictions: Tensor;
}

/**
 * Builds a micro-batch's forward and backward pass, whose output is `loss` [1], and the optimiser's
 * step as a separate phase (docs/method.md §3).
 * @param data adds the data's part to the graph
 * @throws GpuError for mixed precision on a target that has no float16 or failed its check
 */
export function buildTrainingGraph(
  target: Target,
  options: TrainingGraphOptions,
  data: (graph: Graph) => TrainingBatch,
): TrainingGraph {
  const { config, stage } = options;
  const mixed = options.precision === "mixed";
  if (mixed) requireHalf(target);
  // 1. States, inputs, and the data's part.
  const graph = new Graph(target);
  const layout = new ParameterLayout(config);
  const flat = (name: string) => graph.state(name, [layout.length], "f32");
  const [trained, gradients, m, v] = ["trained", "gradients", "moments 1", "moments 2"].map(flat);
  const running = graph.state("running", [layout.runningLength], "f32");
  const seed = graph.input("dropout seed", [2], "u32");
  const lossScale = graph.input("loss scale", [1], "f32");
  const batch = data(graph);
  // 2. Forward pass. Weights are slices of the flat states.
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
  const { teacher, student } = network.build({ ...batch, seed }, options.grid, stage === 2);
  // 3. Loss. In mixed precision gradients begin with its scale.
  const loss = addLoss(graph, options, batch, teacher, student);
  graph.output("loss", loss);
  const scaler = mixed ? graph.state("loss scaler", [scalerWords], "f32") : undefined;
  if (scaler) graph.output("loss scale", graph.slice("loss scale", scaler, 0, [1]));
  // 4. Backward pass, of the tensors that this stage trains.
  const learns = layout.ranges.filter((range) => range.student === (stage === 2));
  const start = scaler ? graph.apply(scaleLossOp, { share: lossScale, scaler }, {})[0] : lossScale;
  addGradients(graph, loss, start, used, learns, gradients);
  // 5. The optimiser, once per step: one dispatch per range of tensors.
  const hyper = { decays: graph.input("hyper, decay", [8], "f32"), plain: graph.input("hyper, no decay", [8], "f32") };
  graph.phase(optimizerPhase, () => {
    const numbers = scaler ? scaledHyper(graph, scaler, gradients, learns, hyper) : hyper;
    for (const { offset, length, decays } of learns) {
      const part = (state: Tensor) => graph.slice(state.name, state, offset, [length]);
      const parts = { parameters: part(trained), gradients: part(gradients), m: part(m), v: part(v) };
      graph.apply(adamWOp, { ...parts, hyper: decays ? numbers.decays : numbers.plain }, {});
    }
  });
  const predictions = student ?? teacher;
  const states = { trained, running, gradients, moments: [m, v] as const, ...(scaler && { scaler }) };
  return { graph, layout, ...states, seed, lossScale, hyper, predictions };
}

/** @throws GpuError if a target has no float16, or its float16 failed the check */
export function requireHalf(target: Target): void {
  const { description } = target.adapter;
  if (!target.features.has("shader-f16")) {
    throw new GpuError(
      `adapter "${description}" has no float16 (shader-f16), which mixed precision needs: train in float32 there`,
    );
  }
  if (isHalfWrong(target)) {
    throw new GpuError(
      `float16 failed its check on adapter "${description}", and mixed precision needs it: train in float32 there`,
    );
  }
}

/** The loss [1] (docs/method.md §3) of predictions [B, 1 + L, P·P·4]. */
function addLoss(
  graph: Graph,
  { config: { patch }, grid: { keep }, stage, loss, lossFloor: least, normalizeTarget }: TrainingGraphOptions,
  { targets, samples, gradient, idsRestore }: TrainingBatch,
  teacher: Tensor,
  student: Tensor | undefined,
): Tensor {
  const attrs = { patch, norm: "L2", normalizeTarget: stage === 1 && normalizeTarget } as const;
  const [errors] = graph.apply(tokenErrorsOp, { targets, samples, teacher, student }, attrs);
  const error = stage === 1 ? "target" : "student";
  if (stage === 1 && loss === "gradient-weighted") {
    const [motion] = graph.apply(patchMotionOp, { gradient }, { patch });
    const [weights] = graph.apply(
      lossWeightsOp,
      { gradient, motion, targets, samples },
      { patch, ...(least && { least }) },
    );
    return graph.apply(weightedLossOp, { errors, weights }, { error, keep })[0];
  }
  return graph.apply(maskedLossOp, { errors, idsRestore }, { error, keep })[0];
}

/**
 * The backward pass: adds the gradients of the tensors in some ranges to the flat gradients.
 * @param start the gradient that it begins with, of the loss itself: [1]
 * @param used tensors that the network uses, slices of the flat state
 */
function addGradients(
  graph: Graph,
  loss: Tensor,
  start: Tensor,
  used: ReadonlyMap<string, Tensor>,
  learns: readonly ParameterRange[],
  gradients: Tensor,
): void {
  const isLearned = ({ offset: at = 0 }: Tensor) =>
    learns.some(({ offset, length }) => at >= offset && at < offset + length);
  const wanted = [...used].filter(([, tensor]) => isLearned(tensor));
  const tensors = wanted.map(([, tensor]) => tensor);
  const found = differentiate(graph, loss, start, tensors, addTo);
  for (const [i, [name, tensor]] of wanted.entries()) {
    const gradient = found[i];
    if (!gradient) throw new Error(`the loss does not depend on ${name}`);
    const total = graph.slice(`gradient of ${name}`, gradients, tensor.offset ?? 0, tensor.shape);
    graph.apply(accumulateOp, { total, value: gradient }, {});
  }
}

/**
 * AdamW's numbers for gradients of a scaled loss: divided by the scale, and without a step if a
 * gradient is not finite.
 */
function scaledHyper(
  graph: Graph,
  scaler: Tensor,
  gradients: Tensor,
  learns: readonly ParameterRange[],
  { decays, plain }: TrainingGraph["hyper"],
): TrainingGraph["hyper"] {
  const first = Math.min(...learns.map(({ offset }) => offset));
  const end = Math.max(...learns.map(({ offset, length }) => offset + length));
  const learned = graph.slice("learned gradients", gradients, first, [end - first]);
  const [found] = graph.apply(nonFiniteOp, { gradients: learned }, {});
  const inputs = { scaler, found, decays, plain };
  const [, scaledDecays, scaledPlain] = graph.apply(updateScalerOp, inputs, { interval: scaleInterval });
  return { decays: scaledDecays, plain: scaledPlain };
}
