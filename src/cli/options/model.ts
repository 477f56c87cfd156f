import { Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../checkpoint/fresh.js";
import type { ScoreOptions } from "../../detector/settings.js";
import { paperConfig } from "../../model/config.js";
import { presets } from "../../model/presets.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { numberBelow, parseSize } from "./parse.js";

/** Options of commands that run a model, as commander returns them. */
export type ModelOptions = Omit<ScoreOptions, "frameScore" | "fallback">;

/** The options behind {@link ModelOptions}. */
export function modelOptions(): Option[] {
  return [
    new Option("--preset <name>", "settings of one of the paper's data sets").choices(Object.keys(presets)),
    new Option("--size <HxW>", "input size of the network in pixels").argParser(parseSize),
    maskRatioOption(),
    new Option("--masking <how>", "which tokens are removed").choices(["random", "gradient"]),
    new Option("--norm <norm>", "squared (L2) or absolute (L1) differences").choices(["L1", "L2"]),
    new Option("--score <rule>", "a frame's score: which errors").choices(["sum", "teacher", "student"]),
    new Option("--masked-only", "scores over removed tokens only"),
    dtypeOption(),
  ];
}

/** What of {@link ModelOptions} a detector takes. */
export function scoreOptions(options: ModelOptions): ScoreOptions {
  const { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype } = options;
  return { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype };
}

/** `--mask-ratio`. Without it, a size at which the usual ratio leaves no grid takes the nearest one that does. */
export function maskRatioOption(): Option {
  return new Option("--mask-ratio <r>", "share of the tokens that is removed, from 0 to below 1").argParser(
    numberBelow(1),
  );
}

/** `--dtype`, for commands that run a model. */
export function dtypeOption(): Option {
  return new Option(
    "--dtype <type>",
    "storage of activations and weights (default: f16 on a GPU that has it, else f32)",
  ).choices(["f32", "f16"]);
}

/** The checkpoint that is named, else the paper's sizes with fresh weights. */
export async function checkpointOrFresh(options: { checkpoint?: string; patch?: number }): Promise<Checkpoint> {
  if (options.checkpoint) return readCheckpoint([options.checkpoint]);
  return freshCheckpoint({ ...paperConfig, patch: options.patch ?? paperConfig.patch });
}
