// Plain words for the names in a log: ways of scoring, pseudo-anomalies, disturbances. A log may
// come from another version, so that names may be unknown here.
import type { ValidationKind } from "../../../data/anomalies/validation_anomaly.js";
import type { Disturbance } from "../../../data/disturbance.js";
import type { FrameScoring, TokenChoice } from "../../../detector/frame_score.js";
import type { ScoreRule } from "../../../model/presets.js";
import type { LoggedWay } from "../../../node/files/training_log.js";
import type { Parsed } from "../../web/parsed.js";

/** What is abnormal, by kind. */
const kinds: Readonly<Record<ValidationKind, string>> = {
  fast: "somebody moves much too fast",
  "speed-up": "time runs faster in one place",
  thrown: "something small flies by",
  trolley: "somebody pushes a trolley",
  scooter: "somebody rides a scooter",
  animal: "an animal walks by",
  standing: "a pole with a sign stands in the way",
  crouched: "somebody walks crouched",
  "odd-size": "somebody is much too small or too large",
  "odd-look": "somebody is much too dark or too bright",
  gliding: "somebody glides in a frozen posture",
  stop: "time stands still in one place",
  backwards: "time runs backwards in one place",
  loop: "a few frames repeat in one place",
};

/** How normal video is disturbed. */
const disturbances: Readonly<Record<Disturbance, string>> = {
  light: "brighter, then darker, as under clouds",
  noise: "noise of 8 grey levels",
  compression: "blocks, as of strong compression",
  shaking: "the camera shakes by about a pixel",
  night: "dark and pale, with some noise",
};

/** How video is disturbed in a few words; empty if the disturbance is unknown. */
export function disturbanceWords(disturbance: string): string {
  return lookUp(disturbances, disturbance) ?? "";
}

/** What is abnormal in a few words; empty if the kind is unknown. */
export function kindWords(kind: string): string {
  return lookUp(kinds, kind) ?? "";
}

const errors: Readonly<Record<ScoreRule, string>> = {
  teacher: "the teacher's errors",
  student: "the student's errors",
  sum: "the errors of teacher and student together",
};
const tokenWords: Readonly<Record<TokenChoice, string>> = {
  all: "",
  visible: ", over visible tokens only",
  removed: ", over removed tokens only",
};

/** How a frame is scored, as a sentence. */
export function wayWords({ scoring, tokens, topK, rule, smoothing, maskings }: Parsed<LoggedWay>): string {
  const error = lookUp(errors, rule) ?? `errors (${rule})`;
  const k = topK ?? 1;
  const scorings: Readonly<Record<FrameScoring, string>> = {
    mean: `the mean of ${error}`,
    "motion-weighted": `the mean of ${error} times motion`,
    maximum: `the largest of ${error}`,
    "top-k": k === 1 ? `the largest of ${error}` : `the mean of the ${k} largest of ${error}`,
    "anomaly-map": "the mean of the predicted anomaly map",
    "top-anomaly": `${k === 1 ? "the largest value" : `the mean of the ${k} largest values`} of the predicted anomaly map`,
    "moving-anomaly": "the mean of the predicted anomaly map times motion",
    "cleaned-map": "the mean of the cleaned-up map of teacher and student",
  };
  const score = lookUp(scorings, scoring) ?? `\u201c${scoring}\u201d`;
  const seen = lookUp(tokenWords, tokens) ?? ` (tokens: ${tokens})`;
  return `A frame's score is ${score}${seen}, ${smoothingWords(smoothing)}, with ${maskingWords(maskings ?? 1)}.`;
}

function smoothingWords({ kind, sigma }: Parsed<LoggedWay>["smoothing"]): string {
  if (kind === "none") return "not smoothed over time";
  const how = kind === "gaussian" ? `a Gaussian of ${sigma ?? "?"} frames` : `\u201c${kind}\u201d`;
  return `smoothed over time by ${how}`;
}

function maskingWords(count: number): string {
  return count === 1 ? "one masking per frame" : `the mean over ${count} maskings per frame`;
}

/** A value by a name from outside. */
function lookUp(table: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
