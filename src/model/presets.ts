// The original's settings for each data set, and how errors become scores.

import type { Size } from "../ops/resize.js";
import type { Norm } from "../ops/token_errors.js";
import type { MaskingMethod } from "./masking.js";

/**
 * How a frame's score follows from its two errors (docs/method.md §5): `teacher` is the error of
 * teacher against target, as for a stage-1 model; `student` is that of teacher against student;
 * `sum` adds both.
 */
export type ScoreRule = "teacher" | "student" | "sum";

/** How a model is run and scored on a data set. */
export interface Preset {
  size: Size;
  patch: number;
  maskRatio: number;
  masking: MaskingMethod;
  norm: Norm;
  score: ScoreRule;
  /** Whether means are over removed tokens only. */
  maskedOnly: boolean;
}

/** The original's settings (docs/method.md §1, §5). */
export const presets = {
  avenue: {
    size: { height: 320, width: 640 },
    patch: 16,
    maskRatio: 0.5,
    masking: "random",
    norm: "L2",
    score: "sum",
    maskedOnly: false,
  },
  shanghai: {
    size: { height: 160, width: 320 },
    patch: 8,
    maskRatio: 0.5,
    masking: "random",
    norm: "L1",
    score: "teacher",
    maskedOnly: false,
  },
} as const satisfies Record<string, Preset>;

/** The name of a preset. */
export type PresetName = keyof typeof presets;

/** The score of a frame or token from its errors. */
export function combineErrors(rule: ScoreRule, studentError: number, targetError: number): number {
  return rule === "sum" ? studentError + targetError : rule === "student" ? studentError : targetError;
}

/** The scores of `count` tokens, from token `first` on, from errors [L, 2] (student, target). */
export function combineTokenErrors(rule: ScoreRule, errors: Float32Array, first: number, count: number): Float32Array {
  const scores = new Float32Array(count);
  // There may be a million tokens per second: a plain loop is ten times as fast as
  // Float32Array.from.
  for (let i = 0, at = 2 * first; i < count; i++, at += 2) {
    scores[i] = combineErrors(rule, errors[at], errors[at + 1]);
  }
  return scores;
}
