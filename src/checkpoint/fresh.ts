import type { SdMaeConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import type { Checkpoint } from "./checkpoint.js";

/** A checkpoint with untrained weights, from seed 1, for benchmarks. */
export function freshCheckpoint(config: SdMaeConfig): Checkpoint {
  const weights = new Map(freshWeights(config, 1));
  return { config, weights, extras: new Map(), settings: {}, source: "fresh weights", overlaid: 0 };
}
