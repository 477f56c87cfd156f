// How a checkpoint is run and scored: by option, preset or checkpoint, in this order.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { hasTrainedStudent } from "../checkpoint/extras.js";
import { InputError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import type { ActivationType } from "../graph/graph.js";
import { gridMaskRatio, type MaskingMethod, tokenGrid } from "../model/masking.js";
import { type Preset, type PresetName, presets, type ScoreRule } from "../model/presets.js";
import type { Size } from "../ops/resize.js";
import type { Norm } from "../ops/token_errors.js";
import { halfVerdict, isHalfSuspect, isHalfWrong } from "../tuner/half_check.js";
import { frameScorings, mapOf, paperFrameScore, type TokenScoring, tokenChoices } from "./frame_score.js";

/**
 * How frames are scored. What is not given comes from the preset, else from the checkpoint, else
 * from the fallback, else from the original's preset for the model's patch size.
 */
export interface ScoreOptions {
  /** Settings of one of the original's data sets. */
  preset?: PresetName;
  /** The preset of the data set that is scored, if neither an option nor the checkpoint decides. */
  fallback?: PresetName;
  /** Input size of the network in pixels. */
  size?: Size;
  /** Share of the tokens that is removed, from 0 to below 1. */
  maskRatio?: number;
  masking?: MaskingMethod;
  /** Squared or absolute differences. */
  norm?: Norm;
  score?: ScoreRule;
  /** Scores over removed tokens only. */
  maskedOnly?: boolean;
  /** How a frame's score is made of its tokens; as the model was tested, else the mean error. */
  frameScore?: Partial<TokenScoring>;
  /**
   * What activations and weights are stored as; sums are always float32. `auto`: f16 on a GPU if it
   * is right there, else f32.
   */
  dtype?: ActivationType | "auto";
}

/** The settings that {@link ScoreOptions} lead to for a checkpoint. */
export type ScoreSettings = Required<Omit<ScoreOptions, "preset" | "fallback" | "dtype" | "frameScore">> & {
  dtype: ActivationType;
  frameScore: TokenScoring;
};

/**
 * Decides how a checkpoint is run.
 * @param target the device, if known; without it `auto` is float32
 * @param onNotice receives a line if the usual mask ratio leaves no grid at the wanted size, so
 * that another one is used
 * @throws InputError if settings contradict each other or the network
 */
export function scoreSettings(
  { config, extras, settings: trained }: Checkpoint,
  options: ScoreOptions = {},
  target?: Target,
  onNotice?: (line: string) => void,
): ScoreSettings {
  const preset = presetFor(options, trained.dataset, config.patch);
  const own = options.preset ? {} : fromTraining(trained);
  const hasStudent = config.studentDepth > 0;
  const score = options.score ?? (hasTrainedStudent(config, extras) ? (own.score ?? preset.score) : "teacher");
  if (!hasStudent && score !== "teacher") {
    const message = (option: string) =>
      `${option} ${score} needs a student, which this model does not have: use ${option} teacher`;
    throw new InputError(message("score"), message("--score"));
  }
  const maskedOnly = options.maskedOnly ?? own.maskedOnly ?? preset.maskedOnly;
  const size = options.size ?? own.size ?? preset.size;
  const usualRatio = own.maskRatio ?? preset.maskRatio;
  const maskRatio = options.maskRatio ?? gridMaskRatio(size, config.patch, usualRatio, onNotice);
  const settings: ScoreSettings = {
    size,
    maskRatio,
    masking: options.masking ?? own.masking ?? preset.masking,
    norm: options.norm ?? own.norm ?? preset.norm,
    score,
    maskedOnly,
    frameScore: tokenScoring(
      { ...(options.maskedOnly && { tokens: "removed" }), ...given(options.frameScore) },
      own.frameScore,
      maskedOnly,
    ),
    dtype: activationType(options.dtype, target),
  };
  const grid = tokenGrid(settings.size, config.patch, settings.maskRatio);
  if ((settings.maskedOnly || settings.frameScore.tokens === "removed") && grid.keep === grid.tokens) {
    throw new InputError(`scores are over removed tokens only, but mask ratio ${settings.maskRatio} removes none`);
  }
  if (settings.frameScore.scoring === "cleaned-map" && !hasStudent) {
    throw new InputError("the frame score cleaned-map needs a student, which this model does not have");
  }
  return settings;
}

/** The preset that was asked for, else by the checkpoint's data set, the fallback, the patch. */
function presetFor({ preset, fallback }: ScoreOptions, dataset: string | undefined, patch: number): Preset {
  if (preset && !isPreset(preset)) {
    throw new InputError(`there is no preset "${preset}": take one of ${Object.keys(presets).join(", ")}`);
  }
  const named = preset ?? (isPreset(dataset) ? dataset : fallback);
  if (named) return presets[named];
  return patch === presets.shanghai.patch ? presets.shanghai : presets.avenue;
}

function isPreset(name: string | undefined): name is PresetName {
  return Object.hasOwn(presets, name ?? "");
}

/** Whether a frame's score is the mean error, which the score graph computes on the GPU. */
export function isMeanError({ frameScore, maskedOnly }: ScoreSettings): boolean {
  const { scoring, tokens, minMotion } = frameScore;
  return scoring === "mean" && minMotion === 0 && tokens === (maskedOnly ? "removed" : "all");
}

/** The entries that are not undefined. */
function given<T extends object>(options: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** What was asked for, else how the model was tested, else the paper's. */
function tokenScoring(
  asked: Partial<TokenScoring>,
  tested: Partial<TokenScoring> | undefined,
  maskedOnly: boolean,
): TokenScoring {
  const { scoring, topK, minMotion } = paperFrameScore;
  const settings: TokenScoring = {
    ...{ scoring, topK, minMotion, tokens: maskedOnly ? "removed" : "all" },
    ...tested,
    ...asked,
  };
  if (!Number.isInteger(settings.topK) || settings.topK < 1) {
    throw new InputError(`top-k ${settings.topK} is not a whole number from 1`);
  }
  if (!(settings.minMotion >= 0)) throw new InputError(`least motion ${settings.minMotion} is not a number from 0`);
  return settings;
}

/**
 * Decides what activations are stored as. If float16 has to be checked (src/tuner/half_check.ts),
 * `auto` takes it only after that.
 * @throws InputError for f16 on a target that lacks it or failed its check, or an unknown type
 */
export function activationType(wanted: ScoreOptions["dtype"] = "auto", target: Target | undefined): ActivationType {
  const half = target?.features.has("shader-f16") ?? false;
  if (wanted === "auto") {
    // Software adapters convert each float16 value to float32 and back, which is slower.
    if (!target || !half || target.adapter.kind !== "gpu") return "f32";
    return !isHalfSuspect(target) || halfVerdict(target) === "right" ? "f16" : "f32";
  }
  if (wanted !== "f16" && wanted !== "f32") {
    throw new InputError(`dtype ${String(wanted)} is not one of auto, f32, f16`);
  }
  if (wanted === "f16" && target && !half) {
    throw new InputError(`adapter "${target.adapter.description}" has no float16 (shader-f16): use dtype f32 there`);
  }
  if (wanted === "f16" && target && isHalfWrong(target)) {
    throw new InputError(`float16 failed its check on adapter "${target.adapter.description}": use dtype f32 there`);
  }
  return wanted;
}

/** The largest possible score, if there is one. */
export function scoreLimit({ frameScore }: Pick<ScoreSettings, "frameScore">): number | undefined {
  return mapOf[frameScore.scoring] === "anomaly-map" ? 1 : undefined;
}

/** Settings as a text: scores can be compared if it is the same. */
export function comparable({ dtype: _, ...rest }: ScoreSettings): string {
  // The number type changes scores by rounding only.
  return JSON.stringify(rest);
}

/** A checkpoint's own settings. They come from a file, so unusable ones are left out. */
function fromTraining(
  trained: Checkpoint["settings"],
): Omit<Partial<ScoreSettings>, "frameScore"> & Pick<ScoreOptions, "frameScore"> {
  const [height, width] = trained.inputSize ?? [];
  const norm = trained.score?.[0];
  const { scoring, tokens, topK, minMotion, rule } = trained.tested ?? {};
  const oneOf = <T extends string>(value: unknown, all: readonly T[]) => all.find((one) => one === value);
  const frameScore = {
    scoring: oneOf(scoring, frameScorings),
    tokens: oneOf(tokens, tokenChoices),
    topK: typeof topK === "number" && Number.isInteger(topK) && topK > 0 ? topK : undefined,
    minMotion: typeof minMotion === "number" && minMotion >= 0 ? minMotion : undefined,
  };
  return {
    size: height && width ? { height, width } : undefined,
    maskRatio: trained.maskRatio,
    masking: trained.maskingMethod === "grad_masking_v1" ? "gradient" : trained.maskingMethod ? "random" : undefined,
    norm: norm === "L1" || norm === "L2" ? norm : undefined,
    maskedOnly: trained.onlyMaskedTokens,
    score: oneOf(rule, ["sum", "teacher", "student"] as const),
    // All or nothing: parts of a rule would be another rule.
    ...(Object.values(frameScore).every((value) => value !== undefined) && { frameScore }),
  };
}
