import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import type { Target } from "../../src/gpu/gpu.js";
import { type ActivationType, Graph, type Tensor } from "../../src/graph/graph.js";
import { type SdMaeConfig, tensorShapes } from "../../src/model/config.js";
import { anomalyMap, cleanMap, headErrors, tokenAnomaly } from "../../src/model/heads.js";
import { type MaskingMethod, tokenGrid } from "../../src/model/masking.js";
import { Network, type Weights } from "../../src/model/network.js";
import { sampleWords } from "../../src/ops/common.js";
import { frameRing } from "../../src/ops/frame_ring.js";
import { frameScoresOp } from "../../src/ops/frame_scores.js";
import { lossWeightsOp } from "../../src/ops/loss_weights.js";
import { maskedLossOp, weightedLossOp } from "../../src/ops/losses.js";
import { noiseOp } from "../../src/ops/noise.js";
import { pasteOp, pasteWords } from "../../src/ops/paste.js";
import { patchMotionOp } from "../../src/ops/patch_motion.js";
import { rankTokensOp } from "../../src/ops/rank_tokens.js";
import type { Size } from "../../src/ops/resize.js";
import { type Norm, tokenErrorsOp } from "../../src/ops/token_errors.js";
import { Random } from "./numbers.js";

/** A network that is quick to compute. */
export const tinyConfig: Readonly<SdMaeConfig> = {
  patch: 8,
  inChannels: 9,
  outChannels: 4,
  encoderWidth: 32,
  encoderDepth: 1,
  decoderWidth: 16,
  decoderDepth: 2,
  studentDepth: 1,
  heads: 4,
  mlpRatio: 2,
};

/** Seeded random weights of a network: U(±1/√fan_in), norms and running statistics around one. */
export function randomWeights(config: SdMaeConfig, seed: number): Weights {
  const random = new Random(seed);
  const entries = [...tensorShapes(config)].map(([name, shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const spread = 1 / Math.sqrt(shape.length > 1 ? count / shape[0] : 16);
    const aroundOne = /running_var$|(norm\d?|bn)\.weight$/.test(name);
    const data = aroundOne ? random.floats(count, 0.6, 1.4) : random.floats(count, -spread, spread);
    return [name, { shape, data }] as const;
  });
  return new Map(entries);
}

/** A checkpoint of random weights, without settings. */
export function randomCheckpoint(config: SdMaeConfig, seed: number): Checkpoint {
  const weights = new Map(randomWeights(config, seed));
  return { config, weights, extras: new Map(), settings: {}, source: "random weights", overlaid: 0 };
}

export interface ModelOptions {
  config: SdMaeConfig;
  source: Size;
  size: Size;
  batch: number;
  norm: Norm;
  masking: MaskingMethod;
  maskedOnly: boolean;
  /** Adds training's outputs: losses of stored predictions, with or without normalised targets. */
  losses?: { normalizeTarget: boolean };
  seed?: number;
  /** f32 by default. */
  dtype?: ActivationType;
}

/** The whole network from raw frames to scores as a graph, and its inputs. */
export interface ModelGraph {
  graph: Graph;
  raw: Tensor;
  slots: Tensor;
  samples: Tensor;
  seed: Tensor;
}

/** Builds every op of scoring and of the losses into one graph. */
export function modelGraph(target: Target, options: ModelOptions): ModelGraph {
  const { config, size, batch, norm } = options;
  const { patch } = config;
  const graph = new Graph(target);
  const grid = tokenGrid(size, patch, 0.5);
  const { keep } = grid;
  const ring = frameRing(graph, options.source, size, 3 * batch, 3 * batch);
  const samples = graph.input("samples", [batch, sampleWords], "u32");
  const seed = graph.input("seed", [1], "u32");
  const gradient = ring.motionGradient(samples);
  const [motion] = graph.apply(patchMotionOp, { gradient }, { patch });
  const [noise] = graph.apply(noiseOp, { samples, seed }, { tokens: grid.tokens });
  const keys = options.masking === "gradient" ? motion : noise;
  const [idsRestore, idsKeep] = graph.apply(rankTokensOp, { keys }, { keep });
  const network = new Network(graph, config, randomWeights(config, options.seed ?? 1), options.dtype);
  const outputs = network.build({ frames: ring.resized, samples, idsKeep, idsRestore }, grid);
  const where = { targets: ring.resized, samples };
  const errors = headErrors(graph, network, outputs, where, norm);
  const scored = { errors, idsRestore: options.maskedOnly ? idsRestore : undefined };
  graph.output("scores", graph.apply(frameScoresOp, scored, { keep })[0]);
  graph.output("map", anomalyMap(graph, network, outputs, size));
  graph.output("token maps", tokenAnomaly(graph, network, outputs, gradient));
  if (outputs.student) {
    graph.output("cleaned", cleanMap(graph, network, outputs.teacher, outputs.student, gradient, size));
  }
  if (options.losses) {
    const teacher = network.linear("decoder_pred", outputs.teacher);
    const student = outputs.student && network.linear("decoder_student_pred", outputs.student);
    const targets = ring.resized;
    const predicted = { targets, samples, teacher, student };
    const [errors] = graph.apply(tokenErrorsOp, predicted, { patch, norm, ...options.losses });
    const [weights] = graph.apply(lossWeightsOp, { gradient, motion, targets, samples }, { patch });
    const pastes = graph.state("pastes", [batch, pasteWords], "u32");
    graph.output("pasted", graph.apply(pasteOp, { frames: ring.resized, samples, pastes }, {})[0]);
    graph.output("loss 1", graph.apply(weightedLossOp, { errors, weights }, { error: "target", keep })[0]);
    graph.output("loss 2", graph.apply(maskedLossOp, { errors, idsRestore }, { error: "student", keep })[0]);
  }
  return { graph, raw: ring.raw, slots: ring.slots, samples, seed };
}
