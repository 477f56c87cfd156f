// Chooses how frames are scored, and rates models, by anomalies of a validation set.
import type { ValidationKind } from "../data/anomalies/validation_anomaly.js";
import type { Disturbance } from "../data/disturbance.js";
import { quantile } from "../data/quantile.js";
import { type FrameScoreSettings, frameScore } from "../detector/frame_score.js";
import { InputError } from "../errors.js";
import type { VideoRecord } from "../eval/record.js";
import { rocAuc } from "../eval/roc.js";
import { type Smoothing, smooth } from "../eval/smoothing.js";
import type { ValidationWindow } from "./validation_set.js";

/** A way to score frames: what a user of the model needs to know beside its weights. */
export interface ScoringWay extends FrameScoreSettings {
  smoothing: Smoothing;
  /** Random maskings per frame, whose scores are averaged. */
  maskings: number;
}

/** How well anomalies of one kind are told from normal frames. */
export interface KindFigures {
  kind: ValidationKind;
  /**
   * ROC-AUC of its frames against all normal frames, 0…1: those without any anomaly, and those just
   * before and after its own. So smoothing pays for blurring where an anomaly begins and ends.
   */
  auc: number;
  /**
   * Its anomalies, and those that are found: their highest score exceeds that of
   * {@link stretchQuantile} of all normal stretches of the same length. So no way of scoring gains
   * by being noisy.
   */
  events: number;
  found: number;
}

/** How a disturbance of normal video is taken. */
export interface DisturbanceFigures {
  disturbance: Disturbance;
  /** Share of its frames that exceed the threshold; undisturbed it is 0.01. */
  falseAlarms: number;
}

/** A model's figures on a validation set, with one way of scoring. */
export interface ValidationResult {
  way: ScoringWay;
  kinds: KindFigures[];
  /** Mean over kinds of the AUC, and of the share of anomalies that are found. */
  auc: number;
  found: number;
  /** What models and ways are chosen by: the mean of both. */
  figure: number;
  /** The kind that is told worst. */
  worst: ValidationKind;
  /** The score that one normal frame in a hundred exceeds. */
  threshold: number;
  normalFrames: number;
  disturbances: DisturbanceFigures[];
}

/** How a validation set is read. */
export interface RatingOptions {
  /**
   * Whether disturbed frames count as normal ones, in the AUC and in what an anomaly must exceed:
   * for models that learnt from disturbed samples. Default: they only give
   * {@link ValidationResult.disturbances}.
   */
  countDisturbed?: boolean;
}

/** Scores of a detector on the windows of a validation set, one record per masking. */
export interface ValidationScores {
  records: readonly VideoRecord[];
  windows: readonly ValidationWindow[];
}

/** The threshold of single frames is this quantile of the normal ones' scores. */
const thresholdQuantile = 0.99;
/** Share of normal stretches whose highest score an anomaly must exceed to be found. */
const stretchQuantile = 0.95;

const smoothings: readonly Smoothing[] = [
  { kind: "none" },
  { kind: "gaussian", sigma: 2 },
  { kind: "gaussian", sigma: 4 },
  { kind: "gaussian", sigma: 8 },
];

/** Ways to score by the teacher alone. */
const teacherScorings: readonly FrameScoreSettings[] = [
  { scoring: "mean", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  { scoring: "motion-weighted", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  { scoring: "top-k", tokens: "all", topK: 5, minMotion: 0, rule: "teacher" },
  { scoring: "anomaly-map", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  { scoring: "top-anomaly", tokens: "all", topK: 3, minMotion: 0, rule: "teacher" },
  { scoring: "top-anomaly", tokens: "all", topK: 10, minMotion: 0, rule: "teacher" },
  { scoring: "moving-anomaly", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  { scoring: "moving-anomaly", tokens: "visible", topK: 1, minMotion: 0, rule: "teacher" },
];

/** Ways that the student has a part in. */
const studentScorings: readonly FrameScoreSettings[] = [
  { scoring: "mean", tokens: "all", topK: 1, minMotion: 0, rule: "sum" },
  { scoring: "mean", tokens: "all", topK: 1, minMotion: 0, rule: "student" },
  { scoring: "motion-weighted", tokens: "all", topK: 1, minMotion: 0, rule: "sum" },
  { scoring: "cleaned-map", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
];

/** The ways to score that a stage chooses from, without maskings. */
export function scoringsOf(stage: 1 | 2): readonly FrameScoreSettings[] {
  return stage === 1 ? teacherScorings : studentScorings;
}

/**
 * The best way to score, by {@link ValidationResult.figure}; of equal ones the first.
 * @param parts one per size of frames
 */
export function chooseScoring(
  parts: readonly ValidationScores[],
  scorings: readonly FrameScoreSettings[],
  options: RatingOptions = {},
): ValidationResult {
  const maskings = parts[0].records.length;
  let best: ValidationResult | undefined;
  for (const scoring of scorings) {
    const raw = parts.map((part) => rawScores(part, scoring));
    for (const smoothing of smoothings) {
      const result = rate(parts, raw, { ...scoring, smoothing, maskings }, options);
      if (!best || result.figure > best.figure) best = result;
    }
  }
  if (!best) throw new Error("there is no way to score");
  return best;
}

/** A model's figures with a given way to score. */
export function rateScoring(
  parts: readonly ValidationScores[],
  way: ScoringWay,
  options: RatingOptions = {},
): ValidationResult {
  const raw = parts.map((part) => rawScores(part, way));
  return rate(parts, raw, way, options);
}

/** One score per frame, averaged over maskings. */
function rawScores({ records }: ValidationScores, scoring: FrameScoreSettings): Float64Array {
  const scores = new Float64Array(records[0].tokens.length);
  for (const { tokens } of records) {
    for (const [i, maps] of tokens.entries()) scores[i] += frameScore(maps, scoring) / records.length;
  }
  return scores;
}

function rate(
  parts: readonly ValidationScores[],
  raw: readonly Float64Array[],
  way: ScoringWay,
  { countDisturbed = false }: RatingOptions,
): ValidationResult {
  const normal: number[] = [];
  const stretches: Float64Array[] = [];
  const events = new Map<ValidationKind, Float64Array[]>();
  const around = new Map<ValidationKind, number[]>();
  const disturbed = new Map<Disturbance, number[]>();
  for (const [i, { windows }] of parts.entries()) {
    for (const { kind, disturbance, first, last, abnormal } of windows) {
      const scores = smooth(raw[i].subarray(first, last + 1), way.smoothing, "validation");
      if (disturbance) {
        disturbed.set(disturbance, [...(disturbed.get(disturbance) ?? []), ...scores]);
        if (countDisturbed) stretches.push(scores);
        continue;
      }
      if (!kind || !abnormal) {
        normal.push(...scores);
        stretches.push(scores);
        continue;
      }
      const [begin, end] = [abnormal.first - first, abnormal.last - first + 1];
      events.set(kind, [...(events.get(kind) ?? []), scores.subarray(begin, end)]);
      around.set(kind, [...(around.get(kind) ?? []), ...scores.subarray(0, begin), ...scores.subarray(end)]);
    }
  }
  const threshold = quantile(Float64Array.from(normal), thresholdQuantile);
  const thresholds = new Map<number, number>();
  const thresholdOf = (length: number) => {
    const known = thresholds.get(length) ?? quantile(highestIn(stretches, length), stretchQuantile);
    thresholds.set(length, known);
    return known;
  };
  const alsoNormal = countDisturbed ? [...disturbed.values()].flat() : [];
  const kinds = [...events].map(([kind, own]): KindFigures => {
    const abnormal = own.flatMap((scores) => [...scores]);
    const others = [...normal, ...alsoNormal, ...(around.get(kind) ?? [])];
    const labels = [...others.map(() => 0), ...abnormal.map(() => 1)];
    const auc = rocAuc(labels, [...others, ...abnormal]) ?? 0.5;
    const found = own.filter((scores) => highest(scores) > thresholdOf(scores.length)).length;
    return { kind, auc, events: own.length, found };
  });
  const mean = (of: (one: KindFigures) => number) => kinds.reduce((sum, one) => sum + of(one), 0) / kinds.length;
  const both = ({ auc, events: count, found }: KindFigures) => (auc + found / count) / 2;
  const worst = kinds.reduce((a, b) => (both(b) < both(a) ? b : a)).kind;
  const [auc, found] = [mean((one) => one.auc), mean((one) => one.found / one.events)];
  const alarms = [...disturbed].map(([disturbance, scores]): DisturbanceFigures => {
    return { disturbance, falseAlarms: scores.filter((score) => score > threshold).length / scores.length };
  });
  const choice = { figure: (auc + found) / 2, worst, threshold };
  return { way, kinds, auc, found, ...choice, normalFrames: normal.length, disturbances: alarms };
}

const highest = (scores: Float64Array) => scores.reduce((most, score) => Math.max(most, score), -Infinity);

/** The highest score of each stretch of so many frames; of whole clips if none is as long. */
function highestIn(clips: readonly Float64Array[], length: number): Float64Array {
  const least = Math.min(length, Math.max(...clips.map((clip) => clip.length)));
  return Float64Array.from(
    clips.flatMap((clip) =>
      Array.from({ length: Math.max(0, clip.length - least + 1) }, (_, i) => highest(clip.subarray(i, i + least))),
    ),
  );
}

/**
 * A way to score from parsed JSON, which is not trusted.
 * @param name where it comes from, for messages
 * @throws InputError if it is none of those that can be chosen
 */
export function parseWay(json: unknown, name: string): ScoringWay {
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const { smoothing, maskings, ...scoring } = (json ?? {}) as Partial<ScoringWay>;
  const known = [...teacherScorings, ...studentScorings].find((one) =>
    Object.entries(one).every(([key, value]) => same(value, scoring[key as keyof typeof scoring])),
  );
  const kind = smoothings.find((one) => same(one, smoothing));
  if (!known || !kind || !Number.isInteger(maskings) || !(maskings! >= 1 && maskings! <= 100)) {
    throw new InputError(`${name}: says to score in a way that training does not choose`);
  }
  return { ...known, smoothing: kind, maskings: maskings! };
}
