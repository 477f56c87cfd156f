// The values of each token of a frame that scores and maps are made of.
import type { Results } from "../graph/program.js";
import type { TokenGrid } from "../model/masking.js";

/** A map over an image. */
export interface ScoreMap {
  rows: number;
  columns: number;
  /** Row-major, rows × columns. */
  data: Float32Array;
}

/** All that is known of a frame's tokens. Arrays are row-major, rows × columns. */
export interface TokenMaps {
  rows: number;
  columns: number;
  /** Mean difference of teacher and student; 0 for a model without a student. */
  student: Float32Array;
  /** Mean difference of target and teacher. */
  target: Float32Array;
  /** Mean of the predicted anomaly map, 0…1. */
  anomaly: Float32Array;
  /** Mean motion gradient, 0…255. */
  motion: Float32Array;
  /** Mean of the anomaly map times the motion gradient, pixel by pixel. */
  movingAnomaly: Float32Array;
  /** The largest motion gradient of any pixel and channel, 0…255. */
  largestMotion: Float32Array;
  /** Mean of the cleaned-up map (docs/method.md §5), which needs a student. */
  cleaned?: Float32Array;
  /** 1 where the token was kept, 0 where it was removed. */
  visible: Uint8Array;
}

/**
 * A sample's maps, from the outputs of the score graph (score_graph.ts).
 * @param b the sample's position in the batch
 */
export function tokenMapsOf(results: Results, b: number, { rows, columns, tokens, keep }: TokenGrid): TokenMaps {
  const errors = (results.errors as Float32Array).subarray(2 * b * tokens, 2 * (b + 1) * tokens);
  const anomaly = (results.tokenAnomaly as Float32Array).subarray(4 * b * tokens, 4 * (b + 1) * tokens);
  const cleaned = results.cleaned as Float32Array | undefined;
  const idsRestore = (results.idsRestore as Uint32Array).subarray(b * tokens, (b + 1) * tokens);
  const every = (values: Float32Array, n: number, first: number) =>
    Float32Array.from({ length: tokens }, (_, i) => values[n * i + first]);
  return {
    rows,
    columns,
    student: every(errors, 2, 0),
    target: every(errors, 2, 1),
    anomaly: every(anomaly, 4, 0),
    motion: every(anomaly, 4, 1),
    movingAnomaly: every(anomaly, 4, 2),
    largestMotion: every(anomaly, 4, 3),
    ...(cleaned && { cleaned: cleaned.slice(b * tokens, (b + 1) * tokens) }),
    visible: Uint8Array.from(idsRestore, (rank) => (rank < keep ? 1 : 0)),
  };
}
