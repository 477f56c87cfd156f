// The network's prediction heads, reduced to what scores need: token errors and maps.

import type { Graph, Tensor } from "../graph/graph.js";
import { anomalyMapOp } from "../ops/anomaly_map.js";
import { cleanMapOp } from "../ops/clean_map.js";
import { headErrorsOp } from "../ops/head_errors.js";
import { type LinearWeights, linearWeights } from "../ops/linear.js";
import type { Size } from "../ops/resize.js";
import { tokenAnomalyOp } from "../ops/token_anomaly.js";
import type { Norm } from "../ops/token_errors.js";
import type { Network, NetworkOutputs } from "./network.js";

/**
 * The prediction targets: packed images [slots, H, W], and samples [B, sampleWords] that each name
 * a slot.
 */
export interface Targets {
  targets: Tensor;
  samples: Tensor;
}

/**
 * Token errors [B, L, 2] of a network's features: teacher against student, teacher against target
 * (docs/method.md §5). Does not store the predictions.
 */
export function headErrors(
  graph: Graph,
  network: Network,
  { teacher, student }: NetworkOutputs,
  { targets, samples }: Targets,
  norm: Norm,
): Tensor {
  const layers = [network.layer("decoder_pred")];
  if (student) layers.push(network.layer("decoder_student_pred"));
  const { weight, bias } = linearWeights(graph, "heads", layers, network.activations, "inputs");
  const inputs = { targets, samples, weight, bias, teacher, student };
  return graph.apply(headErrorsOp, inputs, { patch: network.config.patch, norm })[0];
}

/** The teacher's predicted anomaly map [B, H, W], 0…1. Computes only that channel of the head. */
export function anomalyMap(graph: Graph, network: Network, outputs: NetworkOutputs, size: Size): Tensor {
  const prediction = predictAnomaly(network, outputs);
  return graph.apply(anomalyMapOp, { prediction }, { patch: network.config.patch, ...size })[0];
}

/**
 * Four values per token [B, L, 4] from its pixels in the predicted anomaly map and the motion
 * gradient, see {@link tokenAnomalyOp}.
 */
export function tokenAnomaly(graph: Graph, network: Network, outputs: NetworkOutputs, gradient: Tensor): Tensor {
  const prediction = predictAnomaly(network, outputs);
  return graph.apply(tokenAnomalyOp, { prediction, gradient }, { patch: network.config.patch })[0];
}

/**
 * The cleaned-up map of teacher against student (docs/method.md §5), one mean per token [B, L].
 * Stores both predictions.
 */
export function cleanMap(
  graph: Graph,
  network: Network,
  teacher: Tensor,
  student: Tensor,
  gradient: Tensor,
  size: Size,
): Tensor {
  const predictions = {
    teacher: network.linear("decoder_pred", teacher),
    student: network.linear("decoder_student_pred", student),
  };
  return graph.apply(cleanMapOp, { ...predictions, gradient }, { patch: network.config.patch, ...size })[0];
}

function predictAnomaly(network: Network, { teacher }: NetworkOutputs): Tensor {
  const { outChannels } = network.config;
  return network.linear(
    "anomaly_pred",
    teacher,
    everyNthRow(network.layer("decoder_pred"), outChannels, outChannels - 1),
  );
}

/** The layer's outputs `first`, `first` + n, `first` + 2n, … alone. */
function everyNthRow({ weight, bias }: LinearWeights, n: number, first: number): LinearWeights {
  const width = weight.length / bias.length;
  const rows = Math.floor(bias.length / n);
  const picked = { weight: new Float32Array(rows * width), bias: new Float32Array(rows) };
  for (let row = 0; row < rows; row++) {
    const from = row * n + first;
    picked.weight.set(weight.subarray(from * width, (from + 1) * width), row * width);
    picked.bias[row] = bias[from];
  }
  return picked;
}
