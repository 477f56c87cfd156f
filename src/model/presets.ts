import type { Norm } from "../ops/errors.js";
import type { Size } from "../ops/resize.js";
import type { MaskingMethod } from "./masking.js";

/**
 * A frame's score from its two errors: `teacher` the target–teacher error alone (as of a stage-1 model), `student` the teacher–student error
 * alone, `sum` both (METHOD §5).
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
  /** Mean over removed tokens only. */
  maskedOnly: boolean;
}

/** The original's settings (METHOD §1, §5). */
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

/** Name of a preset. */
export type PresetName = keyof typeof presets;

/** A frame's score. */
export function combineErrors(rule: ScoreRule, studentError: number, targetError: number): number {
  return rule === "sum" ? studentError + targetError : rule === "student" ? studentError : targetError;
}

/** The scores of `count` tokens from their errors (student, target), the first of which is token `first`. */
export function combineTokenErrors(rule: ScoreRule, errors: Float32Array, first: number, count: number): Float32Array {
  const scores = new Float32Array(count);
  // Some thousand frames a second have some million tokens: a plain loop is ten times as fast as Float32Array.from.
  for (let i = 0, at = 2 * first; i < count; i++, at += 2) {
    scores[i] = combineErrors(rule, errors[at], errors[at + 1]);
  }
  return scores;
}
