/** AdamW's settings (docs/method.md §3). */
export interface AdamWSettings {
  learningRate: number;
  betas: readonly [number, number];
  epsilon: number;
  weightDecay: number;
}

/** The original's. */
export const paperAdamW: AdamWSettings = { learningRate: 1e-4, betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 };

/**
 * The optimiser's numbers as its kernel takes them.
 * @param step from 1
 * @param decays whether weight decay applies
 * @param gradientScale what gradients are multiplied by, such as 1 over a loss scale
 */
export function adamWHyper(
  settings: AdamWSettings,
  step: number,
  decays: boolean,
  gradientScale = 1,
): Float32Array<ArrayBuffer> {
  const { learningRate, betas, epsilon, weightDecay } = settings;
  const [first, second] = betas.map((beta) => 1 - beta ** step) as [number, number];
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
