// Smoothing and normalising the scores of a video (docs/method.md §6).
import { InputError } from "../errors.js";

/** How the scores of one video are smoothed over time. */
export type Smoothing =
  | {
      /** As the original does: {@link paperKernel}, with zeros beyond both ends. */
      kind: "paper";
      /** Length of the kernel + 1, in frames. */
      range: number;
      /** Standard deviation, in frames. */
      mu: number;
    }
  | {
      /** A normalised Gaussian out to 4σ. Beyond the ends the first and last score are repeated. */
      kind: "gaussian";
      /** Standard deviation, in frames. */
      sigma: number;
    }
  | { kind: "none" };

/**
 * The original's kernel (docs/method.md §6), not normalised again: for x = 1…range−1 and
 * c = x[len//2 − 1] it is exp(−½((x−c)/mu)²)/(mu√2π). Its peak is left of its middle, so that
 * smoothed scores come one frame late.
 * @throws InputError if the range is not a whole number from 2, or mu is not above 0
 */
export function paperKernel(range: number, mu: number): Float64Array {
  if (!Number.isInteger(range) || range < 2) {
    throw new InputError(`the smoothing range ${range} is not a whole number of frames, 2 or more`);
  }
  checkDeviation("mu", mu);
  const length = range - 1;
  // Python's x[-1] for a kernel of one value.
  const centre = Math.max(1, Math.floor(length / 2));
  return Float64Array.from(
    { length },
    (_, i) => Math.exp(-0.5 * ((i + 1 - centre) / mu) ** 2) / (mu * Math.sqrt(2 * Math.PI)),
  );
}

/**
 * Smooths the scores of one video. NaN in the result becomes 0, as in the original: a NaN score
 * makes every frame 0 that its kernel reaches. {@link countNaN} counts them beforehand. For an odd
 * range the original gets one value too many; here the last one is left out.
 * @param name the video, for messages
 * @returns one value per score
 * @throws InputError that names the frame of an infinite score, or a setting that is out of range
 */
export function smooth(scores: ArrayLike<number>, settings: Smoothing, name = "a video"): Float64Array {
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i];
    if (score === Infinity || score === -Infinity) {
      throw new InputError(`${name}: the score of frame ${i} is ${score}; a score must be finite`);
    }
  }
  return smoothed(Float64Array.from(scores), settings).map((v) => (Number.isNaN(v) ? 0 : v));
}

function smoothed(scores: Float64Array, settings: Smoothing): Float64Array {
  switch (settings.kind) {
    case "none":
      return scores;
    case "paper": {
      const kernel = paperKernel(settings.range, settings.mu);
      return correlate(scores, kernel, Math.floor(kernel.length / 2), 0, 0);
    }
    case "gaussian": {
      checkDeviation("sigma", settings.sigma);
      // scipy.ndimage.gaussian_filter1d(mode="nearest", truncate=4)
      const radius = Math.floor(4 * settings.sigma + 0.5);
      const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
        Math.exp(-0.5 * ((i - radius) / settings.sigma) ** 2),
      );
      const sum = kernel.reduce((a, b) => a + b, 0);
      const [first, last] = [scores[0] ?? 0, scores.at(-1) ?? 0];
      return correlate(
        scores,
        kernel.map((v) => v / sum),
        radius,
        first,
        last,
      );
    }
  }
}

/** Σ over k of kernel[k] · scores[i + k − before], with `first` and `last` beyond the ends. */
function correlate(
  scores: Float64Array,
  kernel: Float64Array,
  before: number,
  first: number,
  last: number,
): Float64Array {
  const padded = new Float64Array(scores.length + kernel.length);
  padded.fill(first, 0, before);
  padded.set(scores, before);
  padded.fill(last, before + scores.length);
  const result = new Float64Array(scores.length);
  for (let i = 0; i < result.length; i++) {
    let sum = 0;
    for (let k = 0; k < kernel.length; k++) sum += kernel[k] * padded[i + k];
    result[i] = sum;
  }
  return result;
}

/**
 * (score − min) / (max − min) of one video; all 0 if all scores are the same, as in the original.
 * @throws InputError if a score is NaN; {@link smooth} leaves none
 */
export function minMaxNormalize(scores: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(scores);
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const greatest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (Number.isNaN(least)) throw new InputError(`score ${values.findIndex(Number.isNaN)} is NaN: it cannot be scaled`);
  return values.map((v) => (greatest > least ? (v - least) / (greatest - least) : 0));
}

/** How many scores are NaN. {@link smooth} makes them 0, the most normal score. */
export function countNaN(scores: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < scores.length; i++) if (Number.isNaN(scores[i])) count++;
  return count;
}

function checkDeviation(name: string, value: number): void {
  if (!(value > 0 && value < Infinity)) {
    throw new InputError(`the smoothing's ${name} ${value} is not a number of frames above 0`);
  }
}
