import { expect } from "vitest";

/** Seeded random numbers (mulberry32): the same on every machine. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Floats, uniform in [low, high). */
  floats(count: number, low = -1, high = 1): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => low + (high - low) * this.next());
  }

  bytes(count: number, high = 255): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => Math.floor(this.next() * (high + 1)));
  }

  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** 0 … count − 1 in random order. */
  permutation(count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

/** ‖got − want‖ / ‖want‖. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let difference = 0;
  let reference = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    reference += want[i] ** 2;
  }
  return Math.sqrt(difference / (reference || 1));
}

/**
 * Checks that the norm of the difference and each difference are small against the reference's
 * size.
 */
export function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(want.length);
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    largest = Math.max(largest, Math.abs(want[i]));
    const difference = Math.abs(got[i] - want[i]);
    // Not Math.max: a NaN is the worst of all.
    if (!(difference <= worst)) worst = difference;
  }
  expect(worst / (largest || 1), "largest difference over largest value").toBeLessThanOrEqual(10 * tolerance);
  expect(relativeError(got, want), "relative error").toBeLessThanOrEqual(tolerance);
}
