import { Option } from "commander";
import { hasTrainedStudent } from "../../checkpoint/extras.js";
import type { Detector } from "../../detector/detector.js";
import {
  type FrameScoring,
  frameScorings,
  isOfErrors,
  type TokenChoice,
  type TokenScoring,
  tokenChoices,
  topScorings,
} from "../../detector/frame_score.js";
import { isMeanError } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import type { EvaluationSettings } from "../../eval/evaluation.js";
import type { Smoothing } from "../../eval/smoothing.js";
import { numberIn, wholeNumber } from "./parse.js";

/** How frames are scored from their tokens, as commander returns it: what was not given is absent. */
export interface FrameScoreOptions {
  frameScore?: FrameScoring;
  tokens?: TokenChoice;
  topK?: number;
  minMotion?: number;
}

/** That, and how scores are smoothed. */
export interface MeasureOptions extends FrameScoreOptions {
  maskings?: number;
  smoothing?: Smoothing["kind"];
  range?: number;
  mu?: number;
  sigma?: number;
  normalize?: boolean;
}

/** Of --smoothing gaussian, in frames. */
const usualSigma = 5;
/** Of the paper's filter, where nothing else says so. */
const usualFilter = { range: 38, mu: 11 };

/** Who says what holds without an option: the checkpoint where a model is scored, the preset where one is trained. */
type DefaultsFrom = "checkpoint" | "preset";

/** The options behind {@link FrameScoreOptions}. */
export function frameScoreOptions(from: DefaultsFrom = "checkpoint"): Option[] {
  const otherwise = (text: string) =>
    from === "checkpoint" ? ` (default: as the checkpoint was tested, else ${text})` : "";
  return [
    new Option("--frame-score <how>", `a frame's score from its tokens${otherwise("the paper's mean")}`).choices([
      ...frameScorings,
    ]),
    new Option("--tokens <which>", `tokens that count${otherwise("all, or removed with --masked-only")}`).choices([
      ...tokenChoices,
    ]),
    new Option("--top-k <n>", "tokens that --frame-score top-k and top-anomaly take").argParser(wholeNumber(1)),
    new Option("--min-motion <g>", "tokens that move by no more count as 0 (0 to 255)").argParser(numberIn(0, 255)),
  ];
}

/** What of {@link FrameScoreOptions} a detector takes. */
export function frameScoreOf(options: FrameScoreOptions): Partial<TokenScoring> {
  const { frameScore: scoring, tokens, topK, minMotion } = options;
  return { scoring, tokens, topK, minMotion };
}

/**
 * Checks how a detector scores frames against the options that were given.
 * @returns lines for the user where that is as the model was tested, not as the paper, and where the student knows nothing
 * @throws InputError for an option that would do nothing
 */
export function scoringNotices(
  { settings, checkpoint }: Pick<Detector, "settings" | "checkpoint">,
  options: FrameScoreOptions & { preset?: string },
): string[] {
  const { scoring, tokens, topK } = settings.frameScore;
  checkTopK(options.topK, scoring);
  const lines: string[] = [];
  if (checkpoint.settings.tested && !options.preset && !options.frameScore && !isMeanError(settings)) {
    const which = topScorings.has(scoring) ? `${scoring} of ${topK}` : scoring;
    lines.push(
      `frames are scored as this model was tested in training: ${which}, ${tokens} tokens (the paper's way: --frame-score mean, or a --preset)`,
    );
  }
  const { config, extras } = checkpoint;
  if (config.studentDepth > 0 && !hasTrainedStudent(config, extras)) {
    const needed = isOfErrors(scoring) ? settings.score !== "teacher" : scoring === "cleaned-map";
    lines.push(
      `${needed ? "warning: " : ""}this model's student was not trained (a model of stage 1): ${needed ? "these scores need it, and tell nothing" : "what is said of student errors tells nothing"}`,
    );
  }
  return lines;
}

function checkTopK(topK: number | undefined, scoring: FrameScoring): void {
  if (topK !== undefined && !topScorings.has(scoring))
    throw new InputError("--top-k does nothing without --frame-score top-k or top-anomaly");
}

/** The options behind {@link MeasureOptions}. */
export function measureOptions(from: DefaultsFrom = "checkpoint"): Option[] {
  const otherwise = (text: string) => (from === "checkpoint" ? ` (default: as tested, else ${text})` : "");
  return [
    new Option(
      "--maskings <n>",
      "maskings of each frame, with seeds from the first on, whose scores are averaged",
    ).argParser(wholeNumber(1, 100)),
    ...frameScoreOptions(from),
    new Option(
      "--smoothing <kind>",
      `over time: the paper's filter (--range, --mu), a Gaussian that keeps its sum (--sigma), none${otherwise("the paper's")}`,
    ).choices(["paper", "gaussian", "none"]),
    new Option("--range <n>", `frames that the paper's filter spans${otherwise("the data set's")}`).argParser(
      wholeNumber(2, 100_000),
    ),
    new Option("--mu <frames>", `its standard deviation${otherwise("the data set's")}`).argParser(numberIn(1e-6, 1e6)),
    new Option(
      "--sigma <frames>",
      `standard deviation of --smoothing gaussian${from === "checkpoint" ? ` (default: as tested, else ${usualSigma})` : ""}`,
    ).argParser(numberIn(1e-6, 1e6)),
    new Option("--normalize", `scores of each video to 0…1 after smoothing${otherwise("as for the data set")}`),
    new Option("--no-normalize", "scores as they are"),
  ];
}

/**
 * Settings with the options that were given.
 * @throws InputError for an option that would do nothing
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
    if (value !== undefined && !works) throw new InputError(`${flag} does nothing without ${needed}`);
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
