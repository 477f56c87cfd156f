// Quantiles of the values of many maps.
import { quantile } from "../data/quantile.js";
import { uniformGenerator } from "../random.js";

/**
 * Quantiles of the values of normal maps: below the first nothing shows; from the second on a
 * region is abnormal.
 */
export const mapQuantiles = { low: 0.9, high: 0.999 };

/**
 * A random sample of the values of many maps, for their quantiles. It has one size however many
 * maps there are, and the same maps give the same sample.
 */
export class ValueSample {
  private readonly values: Float32Array;
  private readonly random = uniformGenerator(1);
  private seen = 0;

  /**
   * @param size values of the sample
   * @param perMap values taken from each map, at random
   */
  constructor(
    size = 32_768,
    private readonly perMap = 64,
  ) {
    this.values = new Float32Array(size);
  }

  /** Takes values of a map. NaN is left out. */
  add(map: ArrayLike<number>): void {
    for (let i = 0; i < this.perMap; i++) {
      const value = map[Math.floor(this.random() * map.length)];
      if (!(value <= Number.MAX_VALUE)) continue;
      this.seen++;
      // Each value that was ever seen is in the sample with the same probability.
      const place = this.seen <= this.values.length ? this.seen - 1 : Math.floor(this.random() * this.seen);
      if (place < this.values.length) this.values[place] = value;
    }
  }

  /** A quantile of the values; 0 without any. */
  quantile(q: number): number {
    const count = Math.min(this.seen, this.values.length);
    return count === 0 ? 0 : quantile(this.values.subarray(0, count), q);
  }
}
