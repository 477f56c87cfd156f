// Draws how samples change: what cameras do to normal video, so that it does not count as odd.
import type { Augmentation, FrameChange } from "../ops/augment.js";

/** How much samples change. */
export interface AugmentationOptions {
  /** Share of the samples that change. */
  share: number;
  /** Light changes by up to this share, up or down; one in four of these samples is like night. */
  light: number;
  /** Largest standard deviation of noise, in grey levels. */
  noise: number;
  /** Most pixels, at the network's input size, by which each frame shakes. Whole numbers. */
  shake: number;
}

/** No augmentation. */
export const augmentationDefaults: AugmentationOptions = { share: 0, light: 0.35, noise: 8, shake: 1 };

/** Share of the changed samples that are like night: dark, with little contrast. */
const nightShare = 0.25;
/** Most by which the light differs between the three frames, relative to it. */
const flicker = 0.03;

/**
 * Draws how a sample changes.
 * @param random uniform in [0, 1)
 * @returns undefined if it does not
 */
export function drawAugmentation(
  random: () => number,
  { share, light, noise, shake }: AugmentationOptions,
): Augmentation | undefined {
  if (!(share > 0) || random() >= share) return undefined;
  const between = (least: number, most: number) => least + (most - least) * random();
  const isNight = random() < nightShare;
  const gain = isNight ? between(0.3, 0.6) : (1 + light) ** between(-1, 1);
  const bias = isNight ? between(0, 20) : 60 * light * between(-1, 1);
  const shift = () => Math.round(between(-shake - 0.49, shake + 0.49));
  const isShaken = random() < 0.5;
  const change = (): FrameChange => ({
    gain: gain * (1 + flicker * between(-1, 1)),
    bias,
    x: isShaken ? shift() : 0,
    y: isShaken ? shift() : 0,
  });
  const frames = [change(), change(), change()] as const;
  return { frames, noise: noise * random(), seed: Math.floor(random() * 2 ** 32) };
}
