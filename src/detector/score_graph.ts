// The graph of scoring: raw frames in, errors and scores out.
import type { Gpu, Target } from "../gpu/gpu.js";
import { Graph, type Tensor } from "../graph/graph.js";
import { planMemory } from "../graph/plan.js";
import type { SdMaeConfig } from "../model/config.js";
import { anomalyMap, cleanMap, headErrors, tokenAnomaly } from "../model/heads.js";
import { type TokenGrid, tokenGrid } from "../model/masking.js";
import { Network, type Weights } from "../model/network.js";
import { sampleWords } from "../ops/common.js";
import { type FrameRing, frameRing } from "../ops/frame_ring.js";
import { frameScoresOp } from "../ops/frame_scores.js";
import { noiseOp } from "../ops/noise.js";
import { patchMotionOp } from "../ops/patch_motion.js";
import { rankTokensOp } from "../ops/rank_tokens.js";
import type { Size } from "../ops/resize.js";
import type { FirstUse } from "../tuner/first_use.js";
import type { ScoreSettings } from "./settings.js";

/** The graph from raw frames to scores, and the tensors that the host writes. */
export interface ScoreGraph {
  graph: Graph;
  grid: TokenGrid;
  ring: FrameRing;
  /** `[batch, sampleWords]`, see ops/samples.ts. */
  samples: Tensor;
  /** [1]; absent if masks do not depend on it. */
  seed?: Tensor;
}

/** What a score graph is made for. */
export interface ScoreGraphOptions {
  config: SdMaeConfig;
  weights: Weights;
  settings: ScoreSettings;
  /** Size of the raw frames. */
  source: Size;
  /** Frames scored in a step. */
  batch: number;
  /** Frames that the ring holds. */
  slots: number;
  /** Whether to compute the predicted anomaly map too. */
  anomalyMap: boolean;
  /** Whether to compute what scores other than the mean error need. */
  tokenMaps?: boolean;
  /** Whether to compute the cleaned-up map too, with `tokenMaps` and if there is a student. */
  cleanedMap?: boolean;
}

/**
 * Builds the graph of scoring (docs/method.md §5). Its outputs:
 * - `scores` [B, 2] and `errors` [B, L, 2], of teacher–student and target–teacher
 * - `anomalyMap` [B, H, W], if asked for
 * - `tokenAnomaly` [B, L, 4] and `idsRestore` [B, L], for `tokenMaps`
 * - `cleaned` [B, L], for `cleanedMap`
 * @throws InputError if the size has no token grid at this mask ratio, or the network's sizes do
 * not suit the kernels
 */
export function buildScoreGraph(target: Target, options: ScoreGraphOptions): ScoreGraph {
  const { config, settings, batch } = options;
  const grid = tokenGrid(settings.size, config.patch, settings.maskRatio);
  const graph = new Graph(target);
  const ring = frameRing(graph, options.source, settings.size, options.slots, batch);
  const samples = graph.input("samples", [batch, sampleWords], "u32");
  // 1. Masks: by motion, or at random.
  let seed: Tensor | undefined;
  let keys: Tensor;
  const needsMotion = settings.masking === "gradient" || options.tokenMaps === true;
  const gradient = needsMotion ? ring.motionGradient(samples) : undefined;
  if (gradient && settings.masking === "gradient") {
    keys = graph.apply(patchMotionOp, { gradient }, { patch: config.patch })[0];
  } else {
    seed = graph.input("seed", [1], "u32");
    keys = graph.apply(noiseOp, { samples, seed }, { tokens: grid.tokens })[0];
  }
  const [idsRestore, idsKeep] = graph.apply(rankTokensOp, { keys }, { keep: grid.keep });
  // 2. The network, and the errors of its predictions.
  const network = new Network(graph, config, options.weights, settings.dtype);
  const outputs = network.build({ frames: ring.resized, samples, idsKeep, idsRestore }, grid);
  const errors = headErrors(graph, network, outputs, { targets: ring.resized, samples }, settings.norm);
  const scored = { errors, idsRestore: settings.maskedOnly ? idsRestore : undefined };
  graph.output("scores", graph.apply(frameScoresOp, scored, { keep: grid.keep })[0]);
  graph.output("errors", errors);
  // 3. Maps that were asked for.
  if (options.anomalyMap) graph.output("anomalyMap", anomalyMap(graph, network, outputs, settings.size));
  if (gradient && options.tokenMaps) {
    graph.output("tokenAnomaly", tokenAnomaly(graph, network, outputs, gradient));
    graph.output("idsRestore", idsRestore);
    const { teacher, student } = outputs;
    if (student && options.cleanedMap)
      graph.output("cleaned", cleanMap(graph, network, teacher, student, gradient, settings.size));
  }
  return { graph, grid, ring, samples, seed };
}

/**
 * The same graph with the fastest kernels of a device. At its first use there, kernels are checked
 * and tuned first.
 * @param firstUse undefined if nothing is to be tuned
 * @throws GpuError if the GPU fails, the signal's reason
 */
export async function tunedScoreGraph(
  gpu: Gpu,
  options: ScoreGraphOptions,
  firstUse?: FirstUse,
  signal?: AbortSignal,
): Promise<ScoreGraph> {
  const built = buildScoreGraph(gpu, options);
  const isChanged = await firstUse?.tune(planMemory(built.graph).nodes, signal);
  return isChanged ? buildScoreGraph(gpu, options) : built;
}
