// The command `adapters`, and its lines, which benchmarks print too.
import { Command } from "commander";
import { type ListedAdapter, listAdapters } from "../../node/adapters/gpu.js";
import { matrixUnits, unitName } from "../../ops/variants.js";

/** Features that are shown, by their common names. */
const shownFeatures: Record<string, string> = {
  "shader-f16": "float16",
  subgroups: "subgroups",
  "timestamp-query": "timestamps",
};

/** Two lines per adapter, the default first: name, kind, description, features; matrix units. */
export async function adapterLines(): Promise<string[]> {
  const adapters = await listAdapters();
  if (adapters.length === 0) return ["no WebGPU adapter found"];
  return adapters.flatMap((adapter, i) => {
    const { name, kind, description } = adapter;
    const features = Object.entries(shownFeatures).flatMap(([feature, shown]) =>
      adapter.features.includes(feature) ? [shown] : [],
    );
    return [
      `${i === 0 ? "*" : " "} ${name}  ${kind}  ${description}  (${features.join(", ")})`,
      `    ${matrixLine(adapter)}`,
    ];
  });
}

/** Which matrix units the kernels can use, or why they use none. */
function matrixLine(adapter: ListedAdapter): string {
  const units = matrixUnits({ adapter, features: new Set(adapter.features) });
  if (typeof units === "string") return `matrix units: not used, ${units}`;
  const { lanes, requested } = units[0];
  const size = requested ? `subgroups set to ${lanes} lanes` : `subgroups of ${lanes} lanes`;
  return `matrix units: float16 with sums in float32, ${units.map(unitName).join(", ")}, ${size}`;
}

/** `adapters`: lists what `--adapter` can name, with a star at the one that `auto` takes. */
export function adaptersCommand(): Command {
  return new Command("adapters")
    .summary("list the WebGPU adapters of this machine")
    .description(
      "Lists the WebGPU adapters of this machine, with the features and matrix units that kernels can use. A star marks the default.",
    )
    .action(async () => {
      for (const line of await adapterLines()) console.log(line);
    });
}
