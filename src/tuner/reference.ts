// Single values of the ops that have kernel variants, computed on the CPU in float64. They show
// whether the plainest variant, with which others are compared, is right, and whether the adapter
// computes at all.
import type { Node, Tensor } from "../graph/graph.js";
import type { LinearAttrs } from "../ops/linear.js";
import { sampleField } from "../ops/samples.js";
import type { Norm } from "../ops/token_errors.js";

/** The values of a tensor: floats, or words. */
export type Values = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** The values of a node's inputs, by the inputs' names. */
type Inputs = Readonly<Record<string, Values>>;

interface Reference {
  /** Exclusive upper limits of random values, for inputs that are words. */
  limits?(node: Node): Readonly<Record<string, number>>;
  /** The first output's value at a position. Weights have the layout of the plain kernel. */
  value(node: Node, inputs: Inputs, at: number): number;
}

/** By the name of the op. */
const references: Readonly<Record<string, Reference>> = {
  linear: { value: linearValue },
  attention: { value: attentionValue },
  patchEmbed: {
    limits: ({ inputs: { frames }, attrs }) => {
      const [slots, height, width] = shapeOf(frames);
      const { patch } = attrs as { patch: number };
      return { frames: 2 ** 32, samples: slots, idsKeep: (height * width) / patch ** 2 };
    },
    value: patchEmbedValue,
  },
  headErrors: {
    limits: ({ inputs: { targets } }) => ({ targets: 2 ** 32, samples: shapeOf(targets)[0] }),
    value: headErrorsValue,
  },
};

/** The exclusive upper limit of an input's random words; undefined if there is none. */
export function limitOf(node: Node, input: string): number | undefined {
  return references[node.op.name]?.limits?.(node)[input];
}

/** Values of a node's first output at some positions; undefined for ops without a reference. */
export function expectedValues(node: Node, inputs: Inputs, positions: readonly number[]): Float64Array | undefined {
  const reference = references[node.op.name];
  return reference && Float64Array.from(positions, (at) => reference.value(node, inputs, at));
}

function shapeOf(tensor: Tensor | undefined): [number, number, number, number] {
  const [a = 1, b = 1, c = 1, d = 1] = tensor?.shape ?? [];
  return [a, b, c, d];
}

function linearValue({ inputs: tensors, outputs, attrs }: Node, inputs: Inputs, at: number): number {
  const { normalize, gelu, passthroughPeriod = 0, epsilon = 0 } = attrs as LinearAttrs;
  const [, m, n] = shapeOf(outputs[0]);
  const k = shapeOf(tensors.x)[2];
  const [row, column] = [Math.floor(at / n), at % n];
  const batch = Math.floor(row / m);
  const { x, weight, bias, residual, gamma, beta } = inputs;
  const { mean, scale } = normalize ? moments(x, row * k, k, epsilon) : { mean: 0, scale: 1 };
  let value = bias[batch * n + column];
  for (let i = 0; i < k; i++) {
    value += (x[row * k + i] - mean) * scale * weight[(batch * n + column) * k + i];
  }
  if (gelu) value = 0.5 * value * (1 + erf(value * Math.SQRT1_2));
  if (passthroughPeriod > 0 && row % passthroughPeriod === 0) {
    const { mean, scale } = moments(residual, row * n, n, epsilon);
    value = (residual[at] - mean) * scale * gamma[column] + beta[column];
  }
  return value + (residual ? residual[at] : 0);
}

/** LayerNorm's mean and 1 / standard deviation, over `count` values. */
function moments(values: Values, first: number, count: number, epsilon: number): { mean: number; scale: number } {
  let mean = 0;
  for (let i = 0; i < count; i++) mean += values[first + i] / count;
  let variance = 0;
  for (let i = 0; i < count; i++) variance += (values[first + i] - mean) ** 2 / count;
  return { mean, scale: 1 / Math.sqrt(variance + epsilon) };
}

/** The error function to 1.5e-7 (Abramowitz & Stegun 7.1.26), as in the kernels. */
function erf(value: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(value));
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(value) * (1 - poly * Math.exp(-value * value));
}

function attentionValue({ inputs: tensors, attrs }: Node, inputs: Inputs, at: number): number {
  const { heads } = attrs as { heads: number };
  const [, samples, tokens, width] = shapeOf(tensors.qkv);
  const { qkv } = inputs;
  const headWidth = width / heads;
  const plane = samples * tokens * width;
  const [row, column] = [Math.floor(at / width), at % width];
  const firstColumn = column - (column % headWidth);
  const firstRow = row - (row % tokens);
  const scores = Array.from({ length: tokens }, (_, key) => {
    let score = 0;
    for (let i = firstColumn; i < firstColumn + headWidth; i++) {
      score += qkv[row * width + i] * qkv[plane + (firstRow + key) * width + i];
    }
    return score;
  });
  const largest = scores.reduce((a, b) => Math.max(a, b));
  let [total, value] = [0, 0];
  for (const [key, score] of scores.entries()) {
    const share = Math.exp(score - largest);
    total += share;
    value += share * qkv[2 * plane + (firstRow + key) * width + column];
  }
  return value / total;
}

/** A channel of a packed pixel, normalised to −1…1 (docs/method.md §1). */
function channel(word: number, index: number): number {
  return ((word >>> (8 * index)) & 255) / 127.5 - 1;
}

function patchEmbedValue({ inputs: tensors, outputs, attrs }: Node, inputs: Inputs, at: number): number {
  const { patch } = attrs as { patch: number };
  const { frames, samples, idsKeep, weight, bias } = inputs;
  const [, height, imageWidth] = shapeOf(tensors.frames);
  const [, keep, width] = shapeOf(outputs[0]);
  const sampleWords = shapeOf(tensors.samples)[1];
  const [row, column] = [Math.floor(at / width), at % width];
  const token = idsKeep[row];
  const columns = imageWidth / patch;
  const corner = Math.floor(token / columns) * patch * imageWidth + (token % columns) * patch;
  let value = bias[column];
  for (let frame = 0; frame < 3; frame++) {
    const slot = samples[Math.floor(row / keep) * sampleWords + sampleField.previous + frame];
    for (let pixel = 0; pixel < patch * patch; pixel++) {
      const offset = corner + Math.floor(pixel / patch) * imageWidth + (pixel % patch);
      const word = frames[slot * height * imageWidth + offset];
      for (let c = 0; c < 3; c++) {
        value += channel(word, c) * weight[((frame * patch * patch + pixel) * 3 + c) * width + column];
      }
    }
  }
  return value;
}

function headErrorsValue({ inputs: tensors, outputs, attrs }: Node, inputs: Inputs, at: number): number {
  const { patch, norm } = attrs as { patch: number; norm: Norm };
  const { targets, samples, weight, bias, teacher, student } = inputs;
  const [, height, imageWidth] = shapeOf(tensors.targets);
  const sampleWords = shapeOf(tensors.samples)[1];
  const [, width, values] = shapeOf(tensors.weight);
  const tokens = shapeOf(outputs[0])[1];
  const row = Math.floor(at / 2);
  const [sample, token] = [Math.floor(row / tokens), row % tokens];
  const columns = imageWidth / patch;
  const slot = samples[sample * sampleWords + sampleField.target];
  const corner = Math.floor(token / columns) * patch * imageWidth + (token % columns) * patch;
  const first = (sample * (1 + tokens) + 1 + token) * width;
  const predicted = (head: number, features: Values, value: number) => {
    let sum = bias[head * values + value];
    for (let i = 0; i < width; i++) {
      sum += features[first + i] * weight[(head * width + i) * values + value];
    }
    return sum;
  };
  let error = 0;
  for (let value = 0; value < values; value++) {
    const own = predicted(0, teacher, value);
    let other = own;
    if (at % 2 === 0) {
      if (student) other = predicted(1, student, value);
    } else {
      const pixel = Math.floor(value / 4);
      const offset = corner + Math.floor(pixel / patch) * imageWidth + (pixel % patch);
      other = channel(targets[slot * height * imageWidth + offset], value % 4);
    }
    error += (norm === "L1" ? Math.abs(own - other) : (own - other) ** 2) / values;
  }
  return error;
}
