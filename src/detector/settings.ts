import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { hasTrainedStudent } from "../checkpoint/extras.js";
import { InputError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import type { ActivationType } from "../graph/graph.js";
import { type MaskingMethod, tokenGrid } from "../model/masking.js";
import { type PresetName, presets, type ScoreRule } from "../model/presets.js";
import type { Norm } from "../ops/errors.js";
import type { Size } from "../ops/resize.js";
import { halfVerdict, isHalfSuspect, isHalfWrong } from "../tuner/half_check.js";
import { frameScorings, paperFrameScore, type TokenScoring, tokenChoices } from "./frame_score.js";

/** How frames are scored; each one that is not given comes from the preset, else from the checkpoint, else from the fallback or the original. */
export interface ScoreOptions {
  /** Settings of one of the original's data sets. */
  preset?: PresetName;
  /** Settings of the data set that is scored, where neither an option nor the checkpoint says. */
  fallback?: PresetName;
  /** Input size of the network in pixels. */
  size?: Size;
  /** Share of the tokens that is removed, 0 to below 1. */
  maskRatio?: number;
  masking?: MaskingMethod;
  /** Squared or absolute differences. */
  norm?: Norm;
  score?: ScoreRule;
  /** Scores over removed tokens only. */
  maskedOnly?: boolean;
  /** How a frame's score is made of its tokens; as the paper (the mean error) unless the checkpoint says how it was tested. */
  frameScore?: Partial<TokenScoring>;
  /**
   * What activations and weights are stored as; sums are float32 always. `auto`: f16 on a GPU where
   * it is right, else f32.
   */
  dtype?: ActivationType | "auto";
}

/** What {@link ScoreOptions} come to for a checkpoint. */
export type ScoreSettings = Required<Omit<ScoreOptions, "preset" | "fallback" | "dtype" | "frameScore">> & {
  dtype: ActivationType;
  frameScore: TokenScoring;
};

/**
 * Settles how a checkpoint is run.
 * @param target what it runs on, if that is known: without it `auto` is float32
 * @throws InputError where settings contradict each other or the network
 */
export function scoreSettings(
  { config, extras, settings: trained }: Checkpoint,
  options: ScoreOptions = {},
  target?: Target,
): ScoreSettings {
  const named =
    options.preset ??
    (Object.hasOwn(presets, trained.dataset ?? "") ? (trained.dataset as PresetName) : options.fallback);
  if (options.preset && !Object.hasOwn(presets, options.preset)) {
    throw new InputError(`no preset "${options.preset}"; there is ${Object.keys(presets).join(", ")}`);
  }
  const preset = named ? presets[named] : config.patch === presets.shanghai.patch ? presets.shanghai : presets.avenue;
  const own = options.preset ? {} : fromTraining(trained);
  const hasStudent = config.studentDepth > 0;
  const score = options.score ?? (hasTrainedStudent(config, extras) ? (own.score ?? preset.score) : "teacher");
  if (!hasStudent && score !== "teacher") {
    throw new InputError(`score "${score}" needs a student, which this model does not have; "teacher" does not`);
  }
  const maskedOnly = options.maskedOnly ?? own.maskedOnly ?? preset.maskedOnly;
  const settings: ScoreSettings = {
    size: options.size ?? own.size ?? preset.size,
    maskRatio: options.maskRatio ?? own.maskRatio ?? preset.maskRatio,
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
  if (settings.maskedOnly && grid.keep === grid.tokens) {
    throw new InputError(`a score over removed tokens only needs some: mask ratio ${settings.maskRatio} removes none`);
  }
  if (settings.frameScore.scoring === "cleaned-map" && !hasStudent) {
    throw new InputError("frame score cleaned-map needs a student, which this model does not have");
  }
  return settings;
}

/** Whether a frame's score is what the network's graph gives by itself: the mean error. */
export function isMeanError({ frameScore, maskedOnly }: ScoreSettings): boolean {
  const { scoring, tokens, minMotion } = frameScore;
  return scoring === "mean" && minMotion === 0 && tokens === (maskedOnly ? "removed" : "all");
}

/** Without what is undefined. */
function given<T extends object>(options: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** What was asked for, else what the model was tested by, else the paper's. */
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
 * Settles what activations are stored as. If float16 has to be checked (src/tuner/half_check.ts),
 * `auto` takes it only after that.
 * @throws InputError for f16 on a target that has none or was found to compute it wrongly, or
 * another type
 */
export function activationType(wanted: ScoreOptions["dtype"] = "auto", target: Target | undefined): ActivationType {
  const half = target?.features.has("shader-f16") ?? false;
  if (wanted === "auto") {
    // The software adapters compute float16 by converting each value there and back.
    if (!target || !half || target.adapter.kind !== "gpu") return "f32";
    return !isHalfSuspect(target) || halfVerdict(target) === "right" ? "f16" : "f32";
  }
  if (wanted !== "f16" && wanted !== "f32") throw new InputError(`dtype ${String(wanted)} is none: auto, f32 or f16`);
  if (wanted === "f16" && target && !half) {
    throw new InputError(`adapter "${target.adapter.description}" has no float16 (shader-f16): use dtype f32 there`);
  }
  if (wanted === "f16" && target && isHalfWrong(target)) {
    throw new InputError(`float16 failed its check on adapter "${target.adapter.description}": use dtype f32 there`);
  }
  return wanted;
}

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
    // All of it or nothing: parts of a rule are another one.
    ...(Object.values(frameScore).every((value) => value !== undefined) && { frameScore }),
  };
}
