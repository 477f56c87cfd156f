import { Command } from "commander";
import { type ListedAdapter, listAdapters } from "../../node/adapters/gpu.js";
import { matrixUnits, unitName } from "../../ops/variants.js";

/** Features worth a mention, by the names that people use for them. */
const shownFeatures: Record<string, string> = {
  "shader-f16": "float16",
  subgroups: "subgroups",
  "timestamp-query": "timestamps",
};

/** The lines of each adapter, the default first: name, kind, description, features; then its matrix units. */
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
  const size = requested ? `subgroups set to ${lanes}` : `subgroups of ${lanes}`;
  return `matrix units: float16 with sums in float32, ${units.map(unitName).join(", ")}, ${size}`;
}

/** `adapters`: what `--adapter` can name; the first, starred, is what `auto` takes. */
export function adaptersCommand(): Command {
  return new Command("adapters")
    .description(
      "Lists the WebGPU adapters here, with the features and matrix units that kernels can use. The starred one is the default.",
    )
    .action(async () => {
      for (const line of await adapterLines()) console.log(line);
    });
}
