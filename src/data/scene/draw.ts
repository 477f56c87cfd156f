// Random numbers, noise and smooth steps for the scene.

import { mix, uniformGenerator } from "../../random.js";

/** A random generator. The same keys give the same numbers. */
export class Draw {
  private readonly next: () => number;

  constructor(...keys: readonly number[]) {
    this.next = uniformGenerator(mix(...keys));
  }

  /** Uniform in [low, high). */
  number(low = 0, high = 1): number {
    return low + (high - low) * this.next();
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the items, all equally likely. */
  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)];
  }
}

/** Smooth noise in [0, 1) over a plane: random values at whole coordinates, interpolated. */
export function valueNoise(x: number, y: number, seed: number): number {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const [u, v] = [smoothStep(x - column), smoothStep(y - row)];
  const at = (i: number, j: number) => mix(seed, column + i, row + j) / 2 ** 32;
  return (at(0, 0) * (1 - u) + at(1, 0) * u) * (1 - v) + (at(0, 1) * (1 - u) + at(1, 1) * u) * v;
}

/** 0 up to 0, 1 from 1 on, and a smooth rise between, level at both ends. */
export function smoothStep(u: number): number {
  const t = Math.min(1, Math.max(0, u));
  return t * t * (3 - 2 * t);
}
