import { InvalidArgumentError, Option } from "commander";
import { type SceneAnomaly, sceneAnomalies } from "../data/scene/actors.js";
import type { ScoreOptions } from "../detector/settings.js";
import { presets } from "../model/presets.js";
import type { NodeGpuOptions } from "../node/gpu.js";
import type { Size } from "../ops/resize.js";

/** Parses `HEIGHTxWIDTH`. */
export function parseSize(text: string): Size {
  const match = /^(\d{1,5})x(\d{1,5})$/i.exec(text);
  if (!match) throw new InvalidArgumentError("A size is HEIGHTxWIDTH in pixels, such as 320x640.");
  return { height: Number(match[1]), width: Number(match[2]) };
}

/** A parser of whole numbers from `least`. */
export function wholeNumber(least: number, most = 0xffffffff): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`A whole number from ${least} to ${most} is needed.`);
    }
    return value;
  };
}

/** A parser of numbers in a range. */
export function numberIn(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most)) {
      throw new InvalidArgumentError(`A number from ${least} to ${most} is needed.`);
    }
    return value;
  };
}

/** A parser of numbers from 0 to below a limit. */
function numberBelow(limit: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value < limit)) {
      throw new InvalidArgumentError(`A number from 0 to below ${limit} is needed.`);
    }
    return value;
  };
}

/** Options of commands that run a model, as commander returns them. */
export type ModelOptions = Omit<ScoreOptions, "frameScore" | "fallback">;

/** The options behind {@link ModelOptions}. */
export function modelOptions(): Option[] {
  return [
    new Option("--preset <name>", "settings of one of the paper's data sets").choices(Object.keys(presets)),
    new Option("--size <HxW>", "input size of the network in pixels").argParser(parseSize),
    new Option("--mask-ratio <r>", "share of the tokens that is removed, from 0 to below 1").argParser(numberBelow(1)),
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

/** `--dtype`, for commands that run a model. */
export function dtypeOption(): Option {
  return new Option(
    "--dtype <type>",
    "storage of activations and weights (default: f16 on a GPU that has it, else f32)",
  ).choices(["f32", "f16"]);
}

/** What {@link adapterOption} and {@link robustOption} give. */
export interface DeviceOptions {
  adapter?: string;
  robust?: boolean;
}

/** `--adapter`, for every command that computes. */
export function adapterOption(): Option {
  return new Option("--adapter <name>", "auto, gpu, lavapipe, swiftshader, or a part of an adapter's name")
    .env("SDMAE_ADAPTER")
    .argParser((name) => name || "auto"); // an empty variable is as good as none
}

/** `--robust`, for every command that has {@link adapterOption}. */
export function robustOption(): Option {
  return new Option(
    "--robust",
    "clamp every index of the kernels to its buffer, as browsers do: slower (default: off, unless SDMAE_ROBUST is 1)",
  );
}

/** `--no-tune`, for commands that score; see `DetectorOptions.tune`. */
export function tuneOption(): Option {
  return new Option(
    "--no-tune",
    "skip the check and quick tuning of kernels at the first use of a model and size on a GPU; use what is known, else tiles",
  );
}

/** What of {@link DeviceOptions} opens a device. */
export function deviceOf({ adapter, robust }: DeviceOptions): Pick<NodeGpuOptions, "adapter" | "robust"> {
  return { adapter, robust };
}

/** Parses names of the scene's anomalies, separated by commas. */
export function anomalyNames(text: string): SceneAnomaly[] {
  const names = text.split(",");
  const known = (name: string): name is SceneAnomaly => (sceneAnomalies as readonly string[]).includes(name);
  if (!names.every(known) || new Set(names).size < names.length) {
    throw new InvalidArgumentError(`Some of ${sceneAnomalies.join(",")} are needed, each once.`);
  }
  return names;
}
