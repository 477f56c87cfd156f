// Settings and versions that the pages of several commands show.
import { type FrameScoreSettings, isOfErrors, scoringName } from "../../detector/frame_score.js";
import type { Detector } from "../../node/detector.js";
import { versions } from "../../node/files/versions.js";
import type { AlarmRule } from "../../watch/alarm_rule.js";

/** A name and what it is. */
export type Fact = [name: string, text: string];

/** The model, and how its network runs. */
export function modelFacts(detector: Detector, maskings = 1): Fact[] {
  const { size, maskRatio, masking } = detector.settings;
  const several = maskings > 1 ? `, ${maskings} maskings` : "";
  return [
    ["model", detector.checkpoint.source],
    ["input size", `${size.height}x${size.width}, patch ${detector.checkpoint.config.patch}`],
    ["masking", `${masking}, ratio ${maskRatio}, seed ${detector.seed}${several}`],
  ];
}

/** What it ran on. */
export function machineFacts({ gpu }: Detector): Fact[] {
  const { sdmae, node } = versions();
  return [
    ["adapter", gpu.adapter.description],
    ["sdmae", sdmae],
    ["node", node],
  ];
}

const ruleNames = { sum: "sum of both errors", teacher: "the teacher's error", student: "the student's error" };

/** How frames are scored, such as "mean of all tokens (sum of both errors, L2)". */
export function frameScoreText(settings: FrameScoreSettings, norm: string): string {
  const { scoring, rule, tokens, minMotion } = settings;
  const gate = minMotion > 0 ? `; tokens that move by at most ${minMotion} count as 0` : "";
  const errors = isOfErrors(scoring) ? ` (${ruleNames[rule]}, ${norm})` : "";
  return `${scoringName(settings)} of ${tokens} tokens${errors}${gate}`;
}

/** When events begin and end. */
export function alarmRuleText({ average, minimum, hold }: AlarmRule): string {
  return (
    `begin when the score, averaged over ${average} s, stays at the threshold for ${minimum} s; ` +
    `end after ${hold} s below the release level`
  );
}
