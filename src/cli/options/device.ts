// Options about the adapter, which all commands that compute share.
import { Option } from "commander";
import type { NodeGpuOptions } from "../../node/adapters/gpu.js";

/** The values of {@link adapterOption} and {@link robustOption}. */
export interface DeviceOptions {
  adapter?: string;
  robust?: boolean;
}

/** `--adapter`, for every command that computes. */
export function adapterOption(): Option {
  return new Option(
    "--adapter <name>",
    "auto, gpu, lavapipe, swiftshader, or part of an adapter's name (default: auto)",
  )
    .env("SDMAE_ADAPTER")
    .argParser((name) => name || "auto"); // an empty variable means none
}

/** `--robust`, for every command that has {@link adapterOption}. */
export function robustOption(): Option {
  return new Option(
    "--robust",
    "clamp every index of the kernels to its buffer, as browsers do; slower (default: off, unless SDMAE_ROBUST=1)",
  );
}

/** `--no-tune`, for commands that score; see `DetectorOptions.tune`. */
export function tuneOption(): Option {
  return new Option(
    "--no-tune",
    "skip the check of kernels when a GPU first runs a model at a size; use stored choices, else tiled kernels",
  );
}

/** The part of {@link DeviceOptions} that opens a device. */
export function deviceOf({ adapter, robust }: DeviceOptions): Pick<NodeGpuOptions, "adapter" | "robust"> {
  return { adapter, robust };
}
