import { Option } from "commander";
import type { NodeGpuOptions } from "../../node/adapters/gpu.js";

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
