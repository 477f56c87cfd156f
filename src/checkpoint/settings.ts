// Training settings that a checkpoint carries, in the original's format and in ours.

import type { Setting } from "./pth.js";

/**
 * What a checkpoint says about how its network was trained. All are optional, and only hints: they
 * come from a file, and only type and range are checked.
 */
export interface TrainingSettings {
  /** Share of tokens to remove, from 0 to below 1. */
  maskRatio?: number;
  /** The original's name of the masking: "random_masking" or "grad_masking_v1". */
  maskingMethod?: string;
  /** Height, width in pixels. */
  inputSize?: [number, number];
  /** The original's `abnormal_score_func`: "L1" or "L2" for each part of the score. */
  score?: string[];
  normPixLoss?: boolean;
  /** Whether scores are over removed tokens only (`use_only_masked_tokens_ab`). */
  onlyMaskedTokens?: boolean;
  /** The data set's name. */
  dataset?: string;
  epoch?: number;
  /**
   * The evaluation's settings while the model was trained here, such as `scoring` and `smoothing`.
   * Its contents are not checked: the code that uses it has to.
   */
  tested?: Readonly<Record<string, unknown>>;
}

/** Names of the settings in the original's `args`. `epoch` is stored beside `args`. */
const originalNames: Readonly<Record<Exclude<keyof TrainingSettings, "epoch" | "tested">, string>> = {
  maskRatio: "mask_ratio",
  maskingMethod: "masking_method",
  inputSize: "input_size",
  score: "abnormal_score_func",
  normPixLoss: "norm_pix_loss",
  onlyMaskedTokens: "use_only_masked_tokens_ab",
  dataset: "dataset",
};

/**
 * Our own addition to `args`, for `tested` as JSON. The original ignores names that it does not
 * know.
 */
const testedName = "sdmae_tested";

function isShortText(value: unknown): value is string {
  return typeof value === "string" && value.length <= 100;
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0;
}

/** Settings from untrusted data: leaves out those of a wrong type or range. */
function settingsFrom(read: (key: keyof TrainingSettings) => unknown): TrainingSettings {
  const settings: TrainingSettings = {};
  const maskRatio = read("maskRatio");
  if (typeof maskRatio === "number" && maskRatio >= 0 && maskRatio < 1) settings.maskRatio = maskRatio;
  const maskingMethod = read("maskingMethod");
  if (isShortText(maskingMethod)) settings.maskingMethod = maskingMethod;
  const inputSize = read("inputSize");
  if (Array.isArray(inputSize) && inputSize.length === 2 && inputSize.every(isSize)) {
    settings.inputSize = [inputSize[0], inputSize[1]];
  }
  const score = read("score");
  if (isShortText(score)) settings.score = [score];
  else if (Array.isArray(score) && score.length <= 2 && score.every(isShortText)) settings.score = [...score];
  const normPixLoss = read("normPixLoss");
  if (typeof normPixLoss === "boolean") settings.normPixLoss = normPixLoss;
  const onlyMaskedTokens = read("onlyMaskedTokens");
  if (typeof onlyMaskedTokens === "boolean") settings.onlyMaskedTokens = onlyMaskedTokens;
  const dataset = read("dataset");
  if (isShortText(dataset)) settings.dataset = dataset;
  const epoch = read("epoch");
  if (typeof epoch === "number" && Number.isInteger(epoch) && epoch >= 0) settings.epoch = epoch;
  const tested = read("tested");
  if (typeof tested === "object" && tested !== null && !Array.isArray(tested)) settings.tested = { ...tested };
  return settings;
}

/** Settings from `epoch` and `args` of a .pth. */
export function settingsFromArgs(args: ReadonlyMap<string, unknown>, epoch: number | undefined): TrainingSettings {
  return settingsFrom((key) => {
    if (key === "epoch") return epoch;
    return key === "tested" ? parsed(args.get(testedName)) : args.get(originalNames[key]);
  });
}

function parsed(text: unknown): unknown {
  if (typeof text !== "string" || text.length > 10_000) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The known settings except the epoch, under the names of the original's `args`. */
export function argsFromSettings(settings: TrainingSettings): Map<string, Setting> {
  const args = new Map<string, Setting>();
  for (const [key, name] of Object.entries(originalNames) as [keyof typeof originalNames, string][]) {
    const value = settings[key];
    if (value !== undefined) args.set(name, value);
  }
  if (settings.tested) args.set(testedName, JSON.stringify(settings.tested));
  return args;
}

/** Settings from the JSON that `saveCheckpoint` writes; none if that is not an object. */
export function settingsFromJson(json: unknown): TrainingSettings {
  const record = typeof json === "object" && json !== null ? (json as Readonly<Record<string, unknown>>) : {};
  return settingsFrom((key) => (Object.hasOwn(record, key) ? record[key] : undefined));
}
