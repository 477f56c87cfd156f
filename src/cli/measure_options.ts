import { Option } from "commander";
import { InputError } from "../errors.js";
import type { EvaluationSettings } from "../eval/evaluation.js";
import { type FrameScoring, frameScorings, type TokenChoice, topScorings } from "../eval/frame_score.js";
import type { Smoothing } from "../eval/smoothing.js";
import { numberIn, wholeNumber } from "./options.js";

/** How frames are scored from their tokens, and scores smoothed, as commander returns it: what was not given is absent. */
export interface MeasureOptions {
  maskings?: number;
  frameScore?: FrameScoring;
  tokens?: TokenChoice;
  topK?: number;
  minMotion?: number;
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

/** The options behind {@link MeasureOptions}. */
export function measureOptions(): Option[] {
  return [
    new Option(
      "--maskings <n>",
      "maskings of each frame, with seeds from the first on, whose scores are averaged",
    ).argParser(wholeNumber(1, 100)),
    new Option("--frame-score <how>", "a frame's score from its tokens; the paper's is the mean error").choices([
      ...frameScorings,
    ]),
    new Option("--tokens <which>", "tokens that count (default: all, or removed with --masked-only)").choices([
      "all",
      "visible",
      "removed",
    ]),
    new Option("--top-k <n>", "tokens that --frame-score top-k and top-anomaly take").argParser(wholeNumber(1)),
    new Option("--min-motion <g>", "tokens that move by no more count as 0 (0 to 255)").argParser(numberIn(0, 255)),
    new Option(
      "--smoothing <kind>",
      "over time: the paper's filter (--range, --mu), a Gaussian that keeps its sum (--sigma), none",
    ).choices(["paper", "gaussian", "none"]),
    new Option("--range <n>", "frames that the paper's filter spans (default: the data set's)").argParser(
      wholeNumber(2, 100_000),
    ),
    new Option("--mu <frames>", "its standard deviation (default: the data set's)").argParser(numberIn(1e-6, 1e6)),
    new Option("--sigma <frames>", `standard deviation of --smoothing gaussian (default: ${usualSigma})`).argParser(
      numberIn(1e-6, 1e6),
    ),
    new Option("--normalize", "scores of each video to 0…1 after smoothing (default: as for the data set)"),
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
    [topK, "--top-k", topScorings.has(scoring), "--frame-score top-k or top-anomaly"],
  ];
  for (const [value, flag, works, needed] of needs) {
    if (value !== undefined && !works) throw new InputError(`${flag} does nothing without ${needed}`);
  }
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
