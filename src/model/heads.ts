import type { Graph, Tensor } from "../graph/graph.js";
import { anomalyMapOp, headErrorsOp, type Norm } from "../ops/errors.js";
import { type LinearWeights, linearWeights } from "../ops/linear.js";
import type { Size } from "../ops/resize.js";
import { cleanMapOp, tokenAnomalyOp } from "../ops/token_maps.js";
import type { Network, NetworkOutputs } from "./network.js";

/** Where the prediction targets are: packed images [slots, H, W], and samples [B, sampleWords] that name a slot each. */
export interface Targets {
  targets: Tensor;
  samples: Tensor;
}

/** Token errors [B, L, 2] (student, target) of a network's features, without storing predictions. */
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
  const inputs = [targets, samples, weight, bias, teacher, ...(student ? [student] : [])];
  return graph.apply(headErrorsOp, inputs, { patch: network.config.patch, norm })[0];
}

/** The teacher's predicted anomaly map [B, H, W], 0…1: only that channel of the head is computed. */
export function anomalyMap(graph: Graph, network: Network, outputs: NetworkOutputs, size: Size): Tensor {
  const prediction = predictAnomaly(network, outputs);
  return graph.apply(anomalyMapOp, [prediction], { patch: network.config.patch, ...size })[0];
}

/** What each token's pixels say of it, from the predicted anomaly map and a motion gradient: [B, L, 4], see {@link tokenAnomalyOp}. */
export function tokenAnomaly(graph: Graph, network: Network, outputs: NetworkOutputs, gradient: Tensor): Tensor {
  const prediction = predictAnomaly(network, outputs);
  return graph.apply(tokenAnomalyOp, [prediction, gradient], { patch: network.config.patch })[0];
}

/** The cleaned-up map of teacher against student, a mean a token [B, L]; it needs their predictions stored. */
export function cleanMap(
  graph: Graph,
  network: Network,
  teacher: Tensor,
  student: Tensor,
  gradient: Tensor,
  size: Size,
): Tensor {
  const predictions = [network.linear("decoder_pred", teacher), network.linear("decoder_student_pred", student)];
  return graph.apply(cleanMapOp, [...predictions, gradient], { patch: network.config.patch, ...size })[0];
}

function predictAnomaly(network: Network, { teacher }: NetworkOutputs): Tensor {
  const { outChannels } = network.config;
  return network.linear(
    "anomaly_pred",
    teacher,
    everyNthRow(network.layer("decoder_pred"), outChannels, outChannels - 1),
  );
}

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
