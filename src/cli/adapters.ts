import { Command } from "commander";
import { listAdapters } from "../node/gpu.js";

/** Features worth a mention, by the names that people use for them. */
const shownFeatures: Record<string, string> = {
  "shader-f16": "float16",
  subgroups: "subgroups",
  "chromium-experimental-subgroup-matrix": "subgroup matrices",
  "timestamp-query": "timestamps",
};

/** One line for each adapter, the default first. */
export async function adapterLines(): Promise<string[]> {
  const adapters = await listAdapters();
  if (adapters.length === 0) return ["no WebGPU adapter found"];
  return adapters.map((a, i) => {
    const features = Object.entries(shownFeatures).flatMap(([name, shown]) =>
      a.features.includes(name) ? [shown] : [],
    );
    return `${i === 0 ? "*" : " "} ${a.name}  ${a.kind}  ${a.description}  (${features.join(", ")})`;
  });
}

/** `adapters`: what `--adapter` can name; the first, starred, is what `auto` takes. */
export function adaptersCommand(): Command {
  return new Command("adapters")
    .description("Lists the WebGPU adapters here; the starred one is the default.")
    .action(async () => {
      for (const line of await adapterLines()) console.log(line);
    });
}
