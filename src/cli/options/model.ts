// Options about the checkpoint and how its network runs, which the commands that score share.
import { Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../checkpoint/fresh.js";
import type { ScoreOptions } from "../../detector/settings.js";
import { paperConfig } from "../../model/config.js";
import { presets } from "../../model/presets.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import type { DefaultsFrom } from "./measure.js";
import { numberBelow, parseSize, wholeNumber } from "./parse.js";

/** Options of commands that run a model. An option that was not given is absent. */
export type ModelOptions = Omit<ScoreOptions, "frameScore" | "fallback">;

/** The options behind {@link ModelOptions}. */
export function modelOptions(from: DefaultsFrom = "checkpoint"): Option[] {
  const usual = from === "checkpoint" ? " (default: the checkpoint's)" : "";
  return [
    new Option("--preset <name>", "use the paper's settings for this data set").choices(Object.keys(presets)),
    new Option("--size <HxW>", `input size of the network, height x width in pixels${usual}`).argParser(parseSize),
    maskRatioOption(),
    new Option("--masking <how>", `remove random tokens, or those that move most${usual}`).choices([
      "random",
      "gradient",
    ]),
    new Option("--norm <norm>", `errors as absolute (L1) or squared (L2) differences${usual}`).choices(["L1", "L2"]),
    new Option(
      "--score <rule>",
      `whose error counts: the teacher's, the student's, or the sum of both${usual}`,
    ).choices(["sum", "teacher", "student"]),
    new Option("--masked-only", "count removed tokens only"),
    dtypeOption(),
  ];
}

/** The part of {@link ModelOptions} that a detector takes. */
export function scoreOptions(options: ModelOptions): ScoreOptions {
  const { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype } = options;
  return { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype };
}

/** `--batch`, for commands that score. */
export function batchOption(): Option {
  return new Option("--batch <n>", "frames scored together (default: 16 on a GPU, else 1)").argParser(
    wholeNumber(1, 1024),
  );
}

/** `--seed`, for commands that score videos. */
export function seedOption(): Option {
  return new Option("--seed <n>", "seed of the random masks: the same seed gives the same scores")
    .default(0)
    .argParser(wholeNumber(0));
}

/** The files of `--checkpoint` and `--student`. */
export function checkpointPaths({ checkpoint, student }: { checkpoint: string; student?: string }): string[] {
  return student === undefined ? [checkpoint] : [checkpoint, student];
}

/** `--mask-ratio`. Without it, the nearest ratio is used if the usual one leaves no grid. */
export function maskRatioOption(): Option {
  return new Option(
    "--mask-ratio <r>",
    "share of the tokens that is removed, from 0 to below 1 (default: the usual one, or the nearest that fits the size)",
  ).argParser(numberBelow(1));
}

/** `--patch`, for commands that make a network with fresh weights if no checkpoint is given. */
export function patchOption(): Option {
  return new Option("--patch <pixels>", `side of a patch (default: ${paperConfig.patch})`)
    .argParser(wholeNumber(4, 64))
    .conflicts("checkpoint");
}

/** `--heads`, which a .pth file does not say. */
export function headsOption(): Option {
  return new Option(
    "--heads <n>",
    `attention heads, if the checkpoint does not say (default: ${paperConfig.heads})`,
  ).argParser(wholeNumber(1, 1024));
}

/** `--dtype`, for commands that run a model. */
export function dtypeOption(): Option {
  return new Option(
    "--dtype <type>",
    "number type of stored activations and weights (default: f16 on a GPU that has it, else f32)",
  ).choices(["f32", "f16"]);
}

/** The checkpoint that is named, else a network of the paper's sizes with fresh weights. */
export async function checkpointOrFresh(options: { checkpoint?: string; patch?: number }): Promise<Checkpoint> {
  if (options.checkpoint) return readCheckpoint([options.checkpoint]);
  return freshCheckpoint({ ...paperConfig, patch: options.patch ?? paperConfig.patch });
}
