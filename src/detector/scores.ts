// What the detector reports per frame, and how it is read from the score graph's outputs.
import { InputError } from "../errors.js";
import type { Results } from "../graph/program.js";
import type { TokenGrid } from "../model/masking.js";
import { combineErrors, combineTokenErrors } from "../model/presets.js";
import type { ReadySample } from "./clip_window.js";
import type { SourceFrame } from "./feeds.js";
import { frameScore, mapOf, tokenMap } from "./frame_score.js";
import { isMeanError, type ScoreSettings } from "./settings.js";
import { type ScoreMap, type TokenMaps, tokenMapsOf } from "./token_maps.js";

/** What the detector reports for a frame. */
export interface FrameScore {
  /** The frame's number: in its file's name, else its position. */
  frame: number;
  /** Position in the video, from 0. */
  index: number;
  /** Seconds from the video's start, if known. */
  time?: number;
  /** The higher, the less normal. */
  score: number;
  /** Mean difference of teacher and student; 0 for a model without a student. */
  studentError: number;
  /** Mean difference of target and teacher. */
  targetError: number;
  /** Where in the frame: one value per token, of what the score is made of. */
  map: ScoreMap;
  /** The predicted anomaly map at the network's input size, 0…1, if asked for. */
  anomalyMap?: ScoreMap;
  /** If asked for. */
  tokens?: TokenMaps;
}

/** A score of one of several streams. */
export interface StreamScore extends FrameScore {
  /** Which stream, from 0. */
  source: number;
}

/**
 * The scores of a batch.
 * @param results outputs of the score graph (score_graph.ts) for at least these samples
 * @param returnTokens whether each score gets its {@link TokenMaps}
 * @throws InputError if values of a model overflow float16
 */
export function batchScores(
  results: Results,
  samples: readonly ReadySample<SourceFrame>[],
  grid: TokenGrid,
  settings: ScoreSettings,
  returnTokens: boolean,
): StreamScore[] {
  const { score: rule, size, dtype, frameScore: how } = settings;
  const errors = results.errors as Float32Array;
  const scores = results.scores as Float32Array;
  const anomaly = results.anomalyMap as Float32Array | undefined;
  const pixels = size.height * size.width;
  return samples.map(({ frame }, b): StreamScore => {
    const [studentError, targetError] = [scores[2 * b], scores[2 * b + 1]];
    if (dtype === "f16" && !Number.isFinite(studentError + targetError)) {
      throw new InputError(`frame ${frame.number} has no score: values of this model overflow float16; use dtype f32`);
    }
    const tokens = results.tokenAnomaly && tokenMapsOf(results, b, grid);
    const score =
      tokens && !isMeanError(settings)
        ? frameScore(tokens, { ...how, rule })
        : combineErrors(rule, studentError, targetError);
    const map = tokens
      ? tokenMap(tokens, rule, mapOf[how.scoring])
      : combineTokenErrors(rule, errors, b * grid.tokens, grid.tokens);
    return {
      source: frame.source,
      frame: frame.number,
      index: frame.index,
      ...(frame.time !== undefined && { time: frame.time }),
      score,
      studentError,
      targetError,
      map: { rows: grid.rows, columns: grid.columns, data: map },
      ...(anomaly && {
        anomalyMap: { rows: size.height, columns: size.width, data: anomaly.slice(b * pixels, (b + 1) * pixels) },
      }),
      ...(tokens && returnTokens && { tokens }),
    };
  });
}
