// Options about how frames are scored and scores are smoothed, and what the checkpoint or preset
// says if they are not given.
import { Option } from "commander";
import { hasTrainedStudent } from "../../checkpoint/extras.js";
import type { Detector } from "../../detector/detector.js";
import {
  type FrameScoring,
  frameScorings,
  isErrorMap,
  isOfErrors,
  type MapKind,
  mapOf,
  paperFrameScore,
  scoringName,
  type TokenChoice,
  type TokenScoring,
  tokenChoices,
  topScorings,
} from "../../detector/frame_score.js";
import { isMeanError, type ScoreOptions } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import type { EvaluationSettings } from "../../eval/evaluation.js";
import type { Smoothing } from "../../eval/smoothing.js";
import type { MaskingMethod } from "../../model/masking.js";
import { type IsGiven, numberIn, wholeNumber } from "./parse.js";

/** How frames are scored from their tokens. An option that was not given is absent. */
export interface FrameScoreOptions {
  frameScore?: FrameScoring;
  tokens?: TokenChoice;
  topK?: number;
  minMotion?: number;
}

/** The same, and how scores are smoothed. */
export interface MeasureOptions extends FrameScoreOptions {
  maskings?: number;
  smoothing?: Smoothing["kind"];
  range?: number;
  mu?: number;
  sigma?: number;
  normalize?: boolean;
}

/** Default of --sigma, in frames. */
const usualSigma = 5;
/** The paper's filter if nothing else sets it, in frames. */
const usualFilter = { range: 38, mu: 11 };

/** Where defaults come from: the checkpoint if a model is scored, the preset if one is trained. */
export type DefaultsFrom = "checkpoint" | "preset";

/** The options behind {@link FrameScoreOptions}. */
export function frameScoreOptions(from: DefaultsFrom = "checkpoint"): Option[] {
  const otherwise = (text: string) =>
    from === "checkpoint" ? ` (default: as the checkpoint was tested, else ${text})` : "";
  return [
    new Option(
      "--frame-score <how>",
      `how the values of its tokens become a frame's score${otherwise("mean, the paper's way")}`,
    ).choices([...frameScorings]),
    new Option("--tokens <which>", `tokens that count${otherwise("all; removed with --masked-only")}`).choices([
      ...tokenChoices,
    ]),
    new Option(
      "--top-k <n>",
      `the k of --frame-score top-k and top-anomaly: how many tokens they take${otherwise(String(paperFrameScore.topK))}`,
    ).argParser(wholeNumber(1)),
    new Option(
      "--min-motion <g>",
      `tokens that move by at most this many grey levels, 0 to 255, count as 0${otherwise(String(paperFrameScore.minMotion))}`,
    ).argParser(numberIn(0, 255)),
  ];
}

/** The part of {@link FrameScoreOptions} that a detector takes. */
export function frameScoreOf(options: FrameScoreOptions): Partial<TokenScoring> {
  const { frameScore: scoring, tokens, topK, minMotion } = options;
  return { scoring, tokens, topK, minMotion };
}

/** What a command makes of a detector beside frame scores. */
export interface OtherUses {
  /** The map in which regions are found. */
  map?: MapKind;
  /** Whether the errors themselves are written. */
  errors?: boolean;
}

/** Options about scores that may have no effect. */
type IdleOptions = FrameScoreOptions & Pick<ScoreOptions, "preset" | "score" | "norm" | "maskedOnly">;

/**
 * Checks how a detector scores frames against the options that were given.
 * @returns lines for the user: that frames are scored as the model was tested, not as in the paper;
 *   that no student was trained; that the seed has no effect
 * @throws InputError for an option that would have no effect, or two that contradict each other
 */
export function scoringNotices(
  { settings, checkpoint }: Pick<Detector, "settings" | "checkpoint">,
  options: IdleOptions & { maskings?: number },
  isGiven: IsGiven,
  uses: OtherUses = {},
): string[] {
  const { masking, frameScore } = settings;
  const { scoring, tokens } = frameScore;
  checkTopK(options.topK, scoring);
  checkTokens(options);
  checkMaskings(options.maskings, masking);
  const hasErrors = isOfErrors(scoring) || (uses.map !== undefined && isErrorMap(uses.map));
  if (options.score !== undefined && !hasErrors) throw withoutErrors("--score", frameScore);
  if (options.norm !== undefined && !hasErrors && !uses.errors) throw withoutErrors("--norm", frameScore);
  const lines: string[] = [];
  if (checkpoint.settings.tested && !options.preset && !options.frameScore && !isMeanError(settings)) {
    lines.push(
      `frames are scored as this model was tested in training: ${scoringName(frameScore)} of ${tokens} tokens (for the paper's way: --frame-score mean, or a --preset)`,
    );
  }
  const { config, extras } = checkpoint;
  if (config.studentDepth > 0 && !hasTrainedStudent(config, extras)) {
    const needed = (hasErrors && settings.score !== "teacher") || [mapOf[scoring], uses.map].includes("cleaned-map");
    const untrained = "this model has no trained student";
    const errors = uses.errors ? ": the column student_error means nothing, and the score does not use it" : "";
    lines.push(needed ? `warning: ${untrained}: these scores need one, so they mean nothing` : untrained + errors);
  }
  if (isGiven("seed") && masking === "gradient") lines.push("--seed has no effect: masks by motion are not random");
  return lines;
}

/** The error for an option about errors if frames are scored by something else. */
export function withoutErrors(flag: string, how: Pick<TokenScoring, "scoring" | "topK">): InputError {
  return new InputError(
    `${flag} has no effect, because the frame score ${scoringName(how)} uses no errors: add --frame-score mean, or leave out ${flag}`,
  );
}

/** @throws InputError if two options say differently which tokens count */
export function checkTokens({ maskedOnly, tokens }: Pick<IdleOptions, "maskedOnly" | "tokens">): void {
  if (maskedOnly && tokens !== undefined && tokens !== "removed") {
    throw new InputError(`--masked-only and --tokens ${tokens} contradict each other: give one of them`);
  }
}

/** @throws InputError for several maskings that are all the same */
export function checkMaskings(maskings: number | undefined, masking: MaskingMethod): void {
  if (maskings !== undefined && maskings > 1 && masking === "gradient") {
    throw new InputError(`--maskings ${maskings} has no effect: masks by motion are not random, so all are the same`);
  }
}

function checkTopK(topK: number | undefined, scoring: FrameScoring): void {
  if (topK !== undefined && !topScorings.has(scoring))
    throw new InputError("--top-k has no effect without --frame-score top-k or top-anomaly");
}

/**
 * The default of --map: the predicted map if it scores frames, else the map of errors, as in the
 * paper.
 */
export function mapFor(scoring: FrameScoring, hasStudent: boolean): MapKind {
  const own = mapOf[scoring];
  if (own === "anomaly-map" || own === "moving-anomaly") return "moving-anomaly";
  return hasStudent ? "cleaned-map" : "moving-error";
}

/** {@link mapFor} for the way in which a detector scores frames. */
export function mapForDetector({ settings, checkpoint }: Pick<Detector, "settings" | "checkpoint">): MapKind {
  return mapFor(settings.frameScore.scoring, hasTrainedStudent(checkpoint.config, checkpoint.extras));
}

/** The options behind {@link MeasureOptions}. */
export function measureOptions(from: DefaultsFrom = "checkpoint"): Option[] {
  const otherwise = (text: string) => (from === "checkpoint" ? ` (default: as tested, else ${text})` : "");
  return [
    new Option(
      "--maskings <n>",
      `score each frame with n masks, of seeds --seed, --seed + 1, …, and average${otherwise("1")}`,
    ).argParser(wholeNumber(1, 100)),
    ...frameScoreOptions(from),
    new Option(
      "--smoothing <kind>",
      `filter over time: the paper's (--range, --mu), or a normalised Gaussian (--sigma)${otherwise("paper")}`,
    ).choices(["paper", "gaussian", "none"]),
    new Option("--range <frames>", `length of the paper's filter${otherwise("the data set's")}`).argParser(
      wholeNumber(2, 100_000),
    ),
    new Option("--mu <frames>", `standard deviation of the paper's filter${otherwise("the data set's")}`).argParser(
      numberIn(1e-6, 1e6),
    ),
    new Option(
      "--sigma <frames>",
      `standard deviation of --smoothing gaussian${otherwise(String(usualSigma))}`,
    ).argParser(numberIn(1e-6, 1e6)),
    new Option("--normalize", `scale each video's scores to 0…1 after smoothing${otherwise("as for the data set")}`),
    new Option("--no-normalize", "leave scores as they are"),
  ];
}

/**
 * The settings, with the given options in place of the usual values.
 * @throws InputError for an option that would have no effect
 */
export function measured(options: MeasureOptions, usual: EvaluationSettings): EvaluationSettings {
  const { frameScore: scoring = usual.scoring, topK, minMotion, normalize, tokens } = options;
  const smoothing = smoothingOf(options, usual.smoothing);
  const needs: [value: unknown, flag: string, works: boolean, needed: string][] = [
    [options.sigma, "--sigma", smoothing.kind === "gaussian", "--smoothing gaussian"],
    [options.range, "--range", smoothing.kind === "paper", "--smoothing paper"],
    [options.mu, "--mu", smoothing.kind === "paper", "--smoothing paper"],
  ];
  for (const [value, flag, works, needed] of needs) {
    if (value !== undefined && !works) throw new InputError(`${flag} has no effect without ${needed}`);
  }
  checkTopK(topK, scoring);
  return {
    ...usual,
    scoring,
    smoothing,
    tokens: tokens ?? usual.tokens,
    topK: topK ?? usual.topK,
    minMotion: minMotion ?? usual.minMotion,
    normalize: normalize ?? usual.normalize,
  };
}

function smoothingOf({ smoothing, range, mu, sigma }: MeasureOptions, usual: Smoothing): Smoothing {
  const kind = smoothing ?? usual.kind;
  if (kind === "none") return { kind };
  if (kind === "gaussian") return { kind, sigma: sigma ?? (usual.kind === "gaussian" ? usual.sigma : usualSigma) };
  const paper = usual.kind === "paper" ? usual : usualFilter;
  return { kind, range: range ?? paper.range, mu: mu ?? paper.mu };
}
