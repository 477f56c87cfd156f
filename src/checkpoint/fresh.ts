import type { SdMaeConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import type { Checkpoint } from "./checkpoint.js";

/** A network with fresh weights. */
export function freshCheckpoint(config: SdMaeConfig): Checkpoint {
  const weights = new Map(freshWeights(config, 1));
  return { config, weights, extras: new Map(), settings: {}, source: "fresh weights", overlaid: 0 };
}
