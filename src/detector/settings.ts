import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { InputError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import type { ActivationType } from "../graph/graph.js";
import { type MaskingMethod, tokenGrid } from "../model/masking.js";
import { type PresetName, presets, type ScoreRule } from "../model/presets.js";
import type { Norm } from "../ops/errors.js";
import type { Size } from "../ops/resize.js";

/** How frames are scored; each one that is not given comes from the preset, else from the checkpoint, else from the original. */
export interface ScoreOptions {
  /** Settings of one of the original's data sets. */
  preset?: PresetName;
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
  /** What activations and weights are stored as; sums are float32 always. `auto`: f16 on a GPU that has it, else f32. */
  dtype?: ActivationType | "auto";
}

/** What {@link ScoreOptions} come to for a checkpoint. */
export type ScoreSettings = Required<Omit<ScoreOptions, "preset" | "dtype">> & { dtype: ActivationType };

/**
 * Settles how a checkpoint is run.
 * @param target what it runs on, if that is known: without it `auto` is float32
 * @throws InputError where settings contradict each other or the network
 */
export function scoreSettings(
  { config, settings: trained }: Checkpoint,
  options: ScoreOptions = {},
  target?: Target,
): ScoreSettings {
  const named =
    options.preset ?? (Object.hasOwn(presets, trained.dataset ?? "") ? (trained.dataset as PresetName) : undefined);
  if (options.preset && !Object.hasOwn(presets, options.preset)) {
    throw new InputError(`no preset "${options.preset}"; there is ${Object.keys(presets).join(", ")}`);
  }
  const preset = named ? presets[named] : config.patch === presets.shanghai.patch ? presets.shanghai : presets.avenue;
  const own = options.preset ? {} : fromTraining(trained);
  const hasStudent = config.studentDepth > 0;
  const score = options.score ?? (hasStudent ? preset.score : "teacher");
  if (!hasStudent && score !== "teacher") {
    throw new InputError(`score "${score}" needs a student, which this model does not have; "teacher" does not`);
  }
  const settings: ScoreSettings = {
    size: options.size ?? own.size ?? preset.size,
    maskRatio: options.maskRatio ?? own.maskRatio ?? preset.maskRatio,
    masking: options.masking ?? own.masking ?? preset.masking,
    norm: options.norm ?? own.norm ?? preset.norm,
    score,
    maskedOnly: options.maskedOnly ?? own.maskedOnly ?? preset.maskedOnly,
    dtype: activationType(options.dtype, target),
  };
  const grid = tokenGrid(settings.size, config.patch, settings.maskRatio);
  if (settings.maskedOnly && grid.keep === grid.tokens) {
    throw new InputError(`a score over removed tokens only needs some: mask ratio ${settings.maskRatio} removes none`);
  }
  return settings;
}

/**
 * Settles what activations are stored as.
 * @throws InputError for f16 on a target that has none
 */
export function activationType(wanted: ScoreOptions["dtype"] = "auto", target: Target | undefined): ActivationType {
  const half = target?.features.has("shader-f16") ?? false;
  // The software adapters compute float16 by converting each value there and back.
  if (wanted === "auto") return half && target?.adapter.kind === "gpu" ? "f16" : "f32";
  if (wanted === "f16" && target && !half) {
    throw new InputError(`adapter "${target.adapter.description}" has no float16 (shader-f16): use dtype f32 there`);
  }
  return wanted;
}

function fromTraining(trained: Checkpoint["settings"]): Partial<ScoreSettings> {
  const [height, width] = trained.inputSize ?? [];
  const norm = trained.score?.[0];
  return {
    size: height && width ? { height, width } : undefined,
    maskRatio: trained.maskRatio,
    masking: trained.maskingMethod === "grad_masking_v1" ? "gradient" : trained.maskingMethod ? "random" : undefined,
    norm: norm === "L1" || norm === "L2" ? norm : undefined,
    maskedOnly: trained.onlyMaskedTokens,
  };
}
