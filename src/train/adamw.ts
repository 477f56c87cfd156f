// AdamW's settings, and the numbers that its kernel takes (ops/adamw.ts).

/** AdamW's settings (docs/method.md §3). */
export interface AdamWSettings {
  learningRate: number;
  betas: readonly [number, number];
  epsilon: number;
  weightDecay: number;
}

/** The original's settings (docs/method.md §3). */
export const paperAdamW: AdamWSettings = { learningRate: 1e-4, betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 };

/**
 * AdamW's numbers for one step, as its kernel takes them: [8].
 * @param step from 1
 * @param decays whether weight decay applies
 * @param gradientScale factor of the gradients, such as 1 / loss scale
 */
export function adamWHyper(
  settings: AdamWSettings,
  step: number,
  decays: boolean,
  gradientScale = 1,
): Float32Array<ArrayBuffer> {
  const { learningRate, betas, epsilon, weightDecay } = settings;
  const [first, second] = betas.map((beta) => 1 - beta ** step);
  return Float32Array.of(
    learningRate,
    ...betas,
    epsilon,
    decays ? weightDecay : 0,
    first,
    Math.sqrt(second),
    gradientScale,
  );
}
