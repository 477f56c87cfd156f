// How a frame's score, and its map, are made of the values of its tokens.
import { InputError } from "../errors.js";
import { combineErrors, type ScoreRule } from "../model/presets.js";
import type { ScoreMap, TokenMaps } from "./token_maps.js";

/**
 * How a frame's score is made of its tokens (docs/method.md §5):
 * - `mean`: mean error, as in the paper
 * - `motion-weighted`: mean of error times motion
 * - `maximum`: largest error
 * - `top-k`: mean of the k largest errors
 * - `anomaly-map`: mean of the predicted anomaly map
 * - `top-anomaly`: mean of its k largest tokens
 * - `moving-anomaly`: mean of that map times the motion gradient, pixel by pixel
 * - `cleaned-map`: mean of the original's cleaned-up map
 */
export const frameScorings = [
  "mean",
  "motion-weighted",
  "maximum",
  "top-k",
  "anomaly-map",
  "top-anomaly",
  "moving-anomaly",
  "cleaned-map",
] as const;
/** Scorings that take the k largest tokens only. */
export const topScorings: ReadonlySet<FrameScoring> = new Set(["top-k", "top-anomaly"]);
/** Name of a frame scoring. */
export type FrameScoring = (typeof frameScorings)[number];

/** A scoring as messages and pages name it: its name, with the k if it has one. */
export function scoringName({ scoring, topK }: { scoring: string; topK: number }): string {
  return (topScorings as ReadonlySet<string>).has(scoring) ? `${scoring} (k = ${topK})` : scoring;
}

/** Which tokens count. */
export const tokenChoices = ["all", "visible", "removed"] as const;
/** Name of a choice of tokens. */
export type TokenChoice = (typeof tokenChoices)[number];

/** How a frame's score is made of its tokens. */
export interface TokenScoring {
  scoring: FrameScoring;
  tokens: TokenChoice;
  /** The k of {@link topScorings}. */
  topK: number;
  /** A token counts as 0 if none of its pixels moves by more than this, 0…255; 0: all count. */
  minMotion: number;
}

/** How frames are scored: of their tokens, and of which errors. */
export interface FrameScoreSettings extends TokenScoring {
  /** Whose error counts: the teacher's, the student's, or their sum. */
  rule: ScoreRule;
}

/** The paper's score. */
export const paperFrameScore: FrameScoreSettings = {
  rule: "sum",
  scoring: "mean",
  tokens: "all",
  topK: 10,
  minMotion: 0,
};

/** The values of tokens that a score or a map can be made of. */
export const mapKinds = ["error", "moving-error", "anomaly-map", "moving-anomaly", "cleaned-map"] as const;
/** Name of a token map. */
export type MapKind = (typeof mapKinds)[number];

/**
 * One number per token: [rows × columns]. `error`: by the rule; `moving-error`: that times the
 * token's mean motion; the others as in {@link frameScorings}.
 * @throws InputError for the cleaned-up map of a model without a student
 */
export function tokenMap(maps: TokenMaps, rule: ScoreRule, kind: MapKind): Float32Array {
  if (kind === "anomaly-map") return maps.anomaly;
  if (kind === "moving-anomaly") return maps.movingAnomaly;
  if (kind === "cleaned-map") {
    if (!maps.cleaned) throw new InputError("the cleaned-up map needs a student, which this model does not have");
    return maps.cleaned;
  }
  const error = maps.target.map((target, i) => combineErrors(rule, maps.student[i], target));
  return kind === "error" ? error : error.map((e, i) => e * maps.motion[i]);
}

/**
 * {@link tokenMap} of a frame, averaged over several maskings.
 * @throws InputError as {@link tokenMap}
 */
export function meanTokenMap(maskings: readonly TokenMaps[], rule: ScoreRule, kind: MapKind): ScoreMap {
  const { rows, columns } = maskings[0];
  const data = new Float32Array(rows * columns);
  for (const maps of maskings) {
    for (const [i, value] of tokenMap(maps, rule, kind).entries()) {
      data[i] += value / maskings.length;
    }
  }
  return { rows, columns, data };
}

/** The map that each scoring takes its values from. */
export const mapOf: Readonly<Record<FrameScoring, MapKind>> = {
  mean: "error",
  "motion-weighted": "moving-error",
  maximum: "error",
  "top-k": "error",
  "anomaly-map": "anomaly-map",
  "top-anomaly": "anomaly-map",
  "moving-anomaly": "moving-anomaly",
  "cleaned-map": "cleaned-map",
};

/** Whether a map is made of errors, so that rule and norm matter. */
export function isErrorMap(kind: MapKind): boolean {
  return kind === "error" || kind === "moving-error";
}

/** Whether a scoring is made of errors, so that rule and norm matter. */
export function isOfErrors(scoring: FrameScoring): boolean {
  return isErrorMap(mapOf[scoring]);
}

/**
 * A frame's score: the higher, the less normal.
 * @param counts 1 for each token that counts, row-major; others are left out, as if the frame did
 * not have them; default: all count
 * @throws InputError as {@link tokenMap}, or if `counts` is for another number of tokens
 */
export function frameScore(maps: TokenMaps, settings: FrameScoreSettings, counts?: Uint8Array): number {
  const map = tokenMap(maps, settings.rule, mapOf[settings.scoring]);
  if (counts && counts.length !== map.length) {
    throw new InputError(`the choice of tokens is for ${counts.length} tokens, but the frame has ${map.length}`);
  }
  const values: number[] = [];
  for (const [i, value] of map.entries()) {
    if (counts && counts[i] !== 1) continue;
    if (settings.tokens !== "all" && (maps.visible[i] === 1) !== (settings.tokens === "visible")) continue;
    const still = settings.minMotion > 0 && maps.largestMotion[i] <= settings.minMotion;
    values.push(still ? 0 : value);
  }
  // No token counts, for example because a mask ratio of 0 removes none: nothing is abnormal.
  if (values.length === 0) return 0;
  if (settings.scoring === "maximum") return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (!topScorings.has(settings.scoring)) return mean(values);
  return mean(values.sort((a, b) => b - a).slice(0, settings.topK));
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
