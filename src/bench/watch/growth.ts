// Whether what a process holds grows over a long run.

/** A value at a moment of the run. */
export interface GrowthSample {
  /** Frames so far. */
  frames: number;
  value: number;
}

/** How a value behaved. */
export interface Growth {
  /** Medians around the middle of the run, and of its last quarter. */
  middle: number;
  last: number;
  /** By the line that fits best from the first quarter on, per 100,000 frames. */
  per100k: number;
  isFlat: boolean;
}

/**
 * Compares the last quarter of a run with the quarter around its middle: the beginning fills caches
 * and says nothing.
 * @param samples in order, at least 8
 * @param allowed the last quarter may be higher by so much
 */
export function growthOf(samples: readonly GrowthSample[], allowed: number): Growth {
  const count = samples.length;
  const part = (from: number, to: number) => samples.slice(Math.floor(from * count), Math.ceil(to * count));
  const middle = median(part(3 / 8, 5 / 8));
  const last = median(part(3 / 4, 1));
  return { middle, last, per100k: 100_000 * slope(part(1 / 4, 1)), isFlat: last - middle <= allowed };
}

function median(samples: readonly GrowthSample[]): number {
  const values = samples.map(({ value }) => value).sort((a, b) => a - b);
  return values[values.length >> 1];
}

/** Of the least squares line; 0 if all samples are of one moment. */
function slope(samples: readonly GrowthSample[]): number {
  const mean = (read: (sample: GrowthSample) => number) =>
    samples.reduce((sum, sample) => sum + read(sample), 0) / samples.length;
  const [x, y] = [mean(({ frames }) => frames), mean(({ value }) => value)];
  const spread = samples.reduce((sum, { frames }) => sum + (frames - x) ** 2, 0);
  const both = samples.reduce((sum, { frames, value }) => sum + (frames - x) * (value - y), 0);
  return spread > 0 ? both / spread : 0;
}
