import type { ScoreMap } from "../detector/token_maps.js";

/** Seconds after which an old map counts a third. */
const memory = 0.3;

/**
 * A running mean of a video's maps: random masks make single maps flicker. NaN counts as 0.
 */
export class MapAverage {
  private data?: Float32Array;
  private last = 0;

  /** Takes the next frame's map, and returns the mean as a new map. */
  push({ rows, columns, data }: ScoreMap, time: number): ScoreMap {
    const before = this.data;
    const share = before ? 1 - Math.exp(-Math.max(0, time - this.last) / memory) : 1;
    this.last = time;
    this.data = Float32Array.from(data, (value, i) => {
      const here = Number.isNaN(value) ? 0 : value;
      return before ? before[i] + share * (here - before[i]) : here;
    });
    return { rows, columns, data: this.data };
  }
}
