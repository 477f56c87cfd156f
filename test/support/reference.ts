/**
 * Plain float64 references of every op, written from docs/method.md, with PyTorch's layouts of
 * weights. They are slow, obvious, and know nothing of the kernels.
 */
type Numbers = ArrayLike<number>;

/**
 * The error function to about 1e-15: a series with positive terms, and a continued fraction for the
 * tail.
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  const scale = Math.exp(-a * a) / Math.sqrt(Math.PI);
  if (a < 2.5) {
    let term = 2 * a;
    let sum = term;
    for (let n = 1; term > sum * 1e-18; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * scale * sum;
  }
  // erfc(a) = exp(−a²)/√π · 1/(a + (1/2)/(a + 1/(a + (3/2)/(a + …))))
  let fraction = a;
  for (let n = 120; n >= 1; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - scale / fraction);
}

/** Exact GELU. */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** LayerNorm of each row of `width` values. */
export function layerNorm(x: Numbers, width: number, gamma: Numbers, beta: Numbers, epsilon: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    let mean = 0;
    for (let i = 0; i < width; i++) mean += x[row + i] / width;
    let variance = 0;
    for (let i = 0; i < width; i++) variance += (x[row + i] - mean) ** 2 / width;
    for (let i = 0; i < width; i++) {
      y[row + i] = ((x[row + i] - mean) / Math.sqrt(variance + epsilon)) * gamma[i] + beta[i];
    }
  }
  return y;
}

export interface Projection {
  /** [D, 1, 3, 3] */
  weight: Numbers;
  gamma: Numbers;
  beta: Numbers;
  mean: Numbers;
  variance: Numbers;
}

/**
 * One convolutional projection: x [B, 1 + rows·columns, D]; the tokens but the first as an image
 * through a depthwise 3×3 convolution with padding 1, then BatchNorm in evaluation mode.
 */
export function convProjection(
  x: Numbers,
  { batch, rows, columns, width }: { batch: number; rows: number; columns: number; width: number },
  p: Projection,
  epsilon: number,
): Float64Array {
  const tokens = 1 + rows * columns;
  const y = new Float64Array(x.length);
  for (let b = 0; b < batch; b++) {
    const at = (row: number, column: number, d: number) => (b * tokens + 1 + row * columns + column) * width + d;
    for (let d = 0; d < width; d++) {
      y[b * tokens * width + d] = x[b * tokens * width + d]!;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let sum = 0;
          for (let ky = -1; ky <= 1; ky++) {
            for (let kx = -1; kx <= 1; kx++) {
              const [r, c] = [row + ky, column + kx];
              if (r < 0 || r >= rows || c < 0 || c >= columns) continue;
              sum += x[at(r, c, d)] * p.weight[d * 9 + (ky + 1) * 3 + (kx + 1)];
            }
          }
          const normalized = (sum - p.mean[d]) / Math.sqrt(p.variance[d] + epsilon);
          y[at(row, column, d)] = normalized * p.gamma[d] + p.beta[d];
        }
      }
    }
  }
  return y;
}

/**
 * Training's three convolutions of x, one after the other: {@link convProjection} with a BatchNorm
 * that does nothing. @param weight [3, width, 9]
 */
export function convolutions(
  x: Numbers,
  weight: Float32Array | Float64Array,
  sizes: { batch: number; rows: number; columns: number; width: number },
): number[] {
  const one = new Float64Array(sizes.width).fill(1);
  const zero = new Float64Array(sizes.width);
  return [0, 1, 2].flatMap((p) => {
    const own = weight.subarray(p * sizes.width * 9, (p + 1) * sizes.width * 9);
    return [...convProjection(x, sizes, { weight: own, gamma: one, beta: zero, mean: zero, variance: one }, 0)];
  });
}

/**
 * BatchNorm2d in training mode of three planes [B, 1 + T, D], without each sample's first token.
 */
export function batchNorm(
  x: Numbers,
  gamma: Numbers,
  beta: Numbers,
  { batch, tokens, width }: { batch: number; tokens: number; width: number },
  epsilon: number,
) {
  const n = batch * tokens;
  const y = Float64Array.from(x);
  const mean = new Float64Array(3 * width);
  const unbiased = new Float64Array(3 * width);
  for (let p = 0; p < 3; p++) {
    for (let d = 0; d < width; d++) {
      const at = Array.from({ length: n }, (_, i) => {
        const sample = Math.floor(i / tokens);
        return ((p * batch + sample) * (1 + tokens) + 1 + (i % tokens)) * width + d;
      });
      const c = p * width + d;
      for (const i of at) mean[c] += x[i] / n;
      let squares = 0;
      for (const i of at) squares += (x[i] - mean[c]) ** 2;
      unbiased[c] = squares / (n - 1);
      const scale = 1 / Math.sqrt(squares / n + epsilon);
      for (const i of at) y[i] = (x[i] - mean[c]) * scale * gamma[c] + beta[c];
    }
  }
  return { y, mean, unbiased };
}

/** The residual of the MLP of x1, norm2 and mlp [B, tokens, width]: the first token takes norm2. */
export function mlpResidual(
  x1: Numbers,
  norm2: Numbers,
  mlp: Numbers,
  { tokens, width }: { tokens: number; width: number },
): Float64Array {
  return Float64Array.from(x1, (v, i) => v + (Math.floor(i / width) % tokens === 0 ? norm2[i] : mlp[i]));
}

/** x Wᵀ + b with PyTorch's weight [N, K]: [M, K] → [M, N]. */
export function linear(x: Numbers, weight: Numbers, bias: Numbers): Float64Array {
  const n = bias.length;
  const k = weight.length / n;
  const m = x.length / k;
  const y = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = bias[column];
      for (let i = 0; i < k; i++) sum += x[row * k + i] * weight[column * k + i];
      y[row * n + column] = sum;
    }
  }
  return y;
}

/** softmax(q kᵀ) v by head: each of q, k, v is [B, N, D]. */
export function attention(
  q: Numbers,
  k: Numbers,
  v: Numbers,
  { batch, tokens, width, heads }: { batch: number; tokens: number; width: number; heads: number },
): Float64Array {
  const y = new Float64Array(batch * tokens * width);
  const headWidth = width / heads;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = (token: number, d: number) => (b * tokens + token) * width + h * headWidth + d;
      for (let i = 0; i < tokens; i++) {
        const scores = new Float64Array(tokens);
        for (let j = 0; j < tokens; j++) {
          for (let d = 0; d < headWidth; d++) scores[j] += q[at(i, d)] * k[at(j, d)];
        }
        const largest = scores.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const shares = scores.map((s) => Math.exp(s - largest));
        const total = shares.reduce((a, s) => a + s, 0);
        for (let j = 0; j < tokens; j++) {
          for (let d = 0; d < headWidth; d++) y[at(i, d)] += (shares[j] / total) * v[at(j, d)];
        }
      }
    }
  }
  return y;
}

/** ids_shuffle = a stable argsort of one sample's keys, ids_restore = its argsort. */
export function rank(keys: Numbers): { idsShuffle: number[]; idsRestore: number[] } {
  const idsShuffle = Array.from({ length: keys.length }, (_, i) => i).sort((i, j) => keys[i] - keys[j] || i - j);
  const idsRestore: number[] = [];
  for (const [position, token] of idsShuffle.entries()) idsRestore[token] = position;
  return { idsShuffle, idsRestore };
}

/** One sample's kept tokens (cls in front) back in their places, the mask token in the others. */
export function unshuffle(x: Numbers, maskToken: Numbers, idsRestore: Numbers): Float64Array {
  const width = maskToken.length;
  const keep = x.length / width - 1;
  const y = new Float64Array((1 + idsRestore.length) * width);
  for (let d = 0; d < width; d++) y[d] = x[d]!;
  for (let token = 0; token < idsRestore.length; token++) {
    const from = idsRestore[token];
    for (let d = 0; d < width; d++) {
      y[(1 + token) * width + d] = from < keep ? x[(1 + from) * width + d] : maskToken[d];
    }
  }
  return y;
}

/** An 8-bit image, interleaved. */
export interface Image {
  height: number;
  width: number;
  channels: number;
  data: Numbers;
}

export function pixel(image: Image, y: number, x: number, channel: number): number {
  return image.data[(y * image.width + x) * image.channels + channel];
}

/**
 * Conv2d(9 → D, kernel P, stride P) of the stacked, normalised frames (previous, current, next):
 * [L, D], row-major.
 */
export function patchEmbed(
  frames: readonly [Image, Image, Image],
  weight: Numbers,
  bias: Numbers,
  patch: number,
): Float64Array {
  const { height, width } = frames[0];
  const [rows, columns] = [height / patch, width / patch];
  const y = new Float64Array(rows * columns * bias.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let d = 0; d < bias.length; d++) {
        let sum = bias[d];
        for (let channel = 0; channel < 9; channel++) {
          const frame = frames[Math.floor(channel / 3)];
          for (let ky = 0; ky < patch; ky++) {
            for (let kx = 0; kx < patch; kx++) {
              const value = pixel(frame, row * patch + ky, column * patch + kx, channel % 3);
              sum += ((value - 127.5) / 127.5) * weight[((d * 9 + channel) * patch + ky) * patch + kx];
            }
          }
        }
        y[(row * columns + column) * bias.length + d] = sum;
      }
    }
  }
  return y;
}

/** |before − after|, by value. */
export function motionGradient(before: Image, after: Image): Image {
  return { ...before, data: Array.from(before.data, (v, i) => Math.abs(v - after.data[i])) };
}

/** Bilinear resize with half-pixel centres and replicated border, as real numbers, not rounded. */
export function resize(image: Image, height: number, width: number): Float64Array {
  const { channels } = image;
  const y = new Float64Array(height * width * channels);
  const position = (i: number, size: number, source: number) =>
    Math.min(Math.max((i + 0.5) * (source / size) - 0.5, 0), source - 1);
  for (let row = 0; row < height; row++) {
    const sy = position(row, height, image.height);
    const [top, fy] = [Math.floor(sy), sy - Math.floor(sy)];
    const bottom = Math.min(top + 1, image.height - 1);
    for (let column = 0; column < width; column++) {
      const sx = position(column, width, image.width);
      const [left, fx] = [Math.floor(sx), sx - Math.floor(sx)];
      const right = Math.min(left + 1, image.width - 1);
      for (let c = 0; c < channels; c++) {
        const upper = pixel(image, top, left, c) * (1 - fx) + pixel(image, top, right, c) * fx;
        const lower = pixel(image, bottom, left, c) * (1 - fx) + pixel(image, bottom, right, c) * fx;
        y[(row * width + column) * channels + c] = upper * (1 - fy) + lower * fy;
      }
    }
  }
  return y;
}

/** The largest value of each P×P patch, of one channel or of all. */
export function patchMaximum(image: Image, patch: number, channel?: number): Float64Array {
  const columns = image.width / patch;
  const y = new Float64Array((image.height / patch) * columns);
  for (let row = 0; row < image.height; row++) {
    for (let column = 0; column < image.width; column++) {
      const token = Math.floor(row / patch) * columns + Math.floor(column / patch);
      for (let c = 0; c < image.channels; c++) {
        if (channel === undefined || c === channel) y[token] = Math.max(y[token], pixel(image, row, column, c));
      }
    }
  }
  return y;
}

/**
 * An image with 4 channels (B, G, R, mask) as target tokens [L, P·P·4]: row, column, channel;
 * normalised to −1…1.
 */
export function targetTokens(target: Image, patch: number): Float64Array {
  const columns = target.width / patch;
  const values = patch * patch * 4;
  const y = new Float64Array((target.height / patch) * columns * values);
  for (let row = 0; row < target.height; row++) {
    for (let column = 0; column < target.width; column++) {
      const token = Math.floor(row / patch) * columns + Math.floor(column / patch);
      const at = token * values + ((row % patch) * patch + (column % patch)) * 4;
      for (let c = 0; c < 4; c++) y[at + c] = (pixel(target, row, column, c) - 127.5) / 127.5;
    }
  }
  return y;
}

/** norm_pix_loss: each token of `values` values by its own mean and unbiased variance. */
export function normalizeTokens(tokens: Numbers, values: number): Float64Array {
  const y = new Float64Array(tokens.length);
  for (let first = 0; first < tokens.length; first += values) {
    let mean = 0;
    for (let i = 0; i < values; i++) mean += tokens[first + i] / values;
    let variance = 0;
    for (let i = 0; i < values; i++) variance += (tokens[first + i] - mean) ** 2 / (values - 1);
    for (let i = 0; i < values; i++) y[first + i] = (tokens[first + i] - mean) / Math.sqrt(variance + 1e-6);
  }
  return y;
}

/** Mean difference of each token of `values` values. */
export function meanDifference(a: Numbers, b: Numbers, values: number, norm: "L1" | "L2"): Float64Array {
  const y = new Float64Array(a.length / values);
  for (let i = 0; i < a.length; i++) {
    const d = a[i] - b[i];
    y[Math.floor(i / values)] += (norm === "L1" ? Math.abs(d) : d * d) / values;
  }
  return y;
}

/**
 * A frame's score: the mean of its token errors, over the removed tokens only if `idsRestore` and
 * `keep` are given.
 */
export function frameScore(errors: Numbers, idsRestore?: Numbers, keep = 0): number {
  let sum = 0;
  let count = 0;
  for (let token = 0; token < errors.length; token++) {
    if (idsRestore && idsRestore[token] < keep) continue;
    sum += errors[token];
    count++;
  }
  return sum / count;
}

/**
 * One sample's weights of the gradient-weighted loss, not normalised. `target` has 4 channels,
 * `gradient` 3.
 */
export function lossWeights(gradient: Image, target: Image, patch: number): Float64Array {
  let strongest = 128;
  for (let i = 0; i < gradient.data.length; i++) strongest = Math.max(strongest, gradient.data[i]);
  const data = Float64Array.from(gradient.data, (g, i) => {
    const mask = target.data[Math.floor(i / 3) * 4 + 3];
    // 1: something normal was pasted.
    const share = mask === 1 ? 1 : Math.max(0, (mask - 127.5) / 127.5);
    return g + share * strongest;
  });
  const maxima = [0, 1, 2].map((c) => patchMaximum({ ...gradient, data }, patch, c));
  return maxima[0].map((m, i) => (m + maxima[1][i] + maxima[2][i]) / 3);
}

/** One of the two errors of [B, L, 2], by sample. */
export function errorsBySample(errors: ArrayLike<number>, batch: number, which: number): number[][] {
  const tokens = errors.length / 2 / batch;
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length: tokens }, (_, i) => errors[(b * tokens + i) * 2 + which]),
  );
}

/**
 * Σ over tokens and samples of error · weight / (the sample's sum of weights); uniform weights if
 * that sum is 0.
 */
export function weightedLoss(errors: readonly Numbers[], weights: readonly Numbers[]): number {
  let loss = 0;
  for (const [sample, own] of errors.entries()) {
    const w = weights[sample];
    let total = 0;
    for (let i = 0; i < own.length; i++) total += w[i];
    for (let i = 0; i < own.length; i++) loss += own[i] * (total === 0 ? 1 / own.length : w[i] / total);
  }
  return loss;
}

/** Σ(e·mask) / Σmask over the whole batch. */
export function maskedLoss(errors: readonly Numbers[], idsRestore: readonly Numbers[], keep: number): number {
  let sum = 0;
  let count = 0;
  for (const [sample, own] of errors.entries()) {
    for (let i = 0; i < own.length; i++) {
      const mask = idsRestore[sample][i] < keep ? 0 : 1;
      sum += own[i] * mask;
      count += mask;
    }
  }
  return sum / count;
}

/** One sample's predicted anomaly channel [L, P·P] (−1…1) as an image, 0…1. */
export function anomalyMap(prediction: Numbers, height: number, width: number, patch: number): Float64Array {
  const y = new Float64Array(height * width);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const token = Math.floor(row / patch) * (width / patch) + Math.floor(column / patch);
      const value = prediction[token * patch * patch + (row % patch) * patch + (column % patch)];
      y[row * width + column] = Math.min(1, Math.max(0, (value + 1) / 2));
    }
  }
  return y;
}

/** Interleaves the two errors of each token; a missing student error is 0. */
export function interleaved(student: ArrayLike<number>, target: ArrayLike<number>): number[] {
  return Array.from({ length: target.length }, (_, i) => [student[i] ?? 0, target[i]]).flat();
}

/** Each sample's rows of [B, 1 + L, width] without the first. */
export function withoutCls(rows: Float32Array, batch: number, width: number): Float32Array[] {
  const size = rows.length / batch;
  return Array.from({ length: batch }, (_, b) => rows.slice(b * size + width, (b + 1) * size));
}
