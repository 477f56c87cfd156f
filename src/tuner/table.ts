import type { AdapterDescription } from "../gpu/gpu.js";

/** To be raised when kernels change so that older measurements say nothing any more. */
const version = 4;

/** Which kernel variants were the fastest on an adapter, as it lies in a file. */
export interface TuningTable {
  format: "sdmae tuning";
  version: number;
  /** The adapter as it describes itself, its driver among it: another driver has another table. */
  adapter: string;
  /** Names of variants, by {@link Variants.key}. */
  choices: Record<string, string>;
  /** Found by a quick first use (first_use.ts): good until `tune` measures the call. */
  quick?: Record<string, string>;
}

/** Choices of a table. */
export interface Choices {
  thorough: ReadonlyMap<string, string>;
  quick: ReadonlyMap<string, string>;
}

/** The name that a table has for an adapter. */
export function adapterName({ vendor, architecture, device, description }: AdapterDescription): string {
  return [vendor, architecture, device, description].filter(Boolean).join(" | ");
}

/** A table of measurements. */
export function tuningTable(
  adapter: AdapterDescription,
  choices: ReadonlyMap<string, string>,
  quick: ReadonlyMap<string, string> = new Map(),
): TuningTable {
  const sorted = (of: ReadonlyMap<string, string>) => Object.fromEntries([...of].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    ...{ format: "sdmae tuning", version, adapter: adapterName(adapter), choices: sorted(choices) },
    ...(quick.size > 0 && { quick: sorted(quick) }),
  };
}

/**
 * Reads a table.
 * @returns its choices, or undefined where it is no table, of another version, or of another adapter
 */
export function choicesFor(adapter: AdapterDescription, table: unknown): Choices | undefined {
  if (typeof table !== "object" || table === null) return undefined;
  const { format, version: own, adapter: name, ...rest } = table as Partial<Record<keyof TuningTable, unknown>>;
  if (format !== "sdmae tuning" || own !== version || name !== adapterName(adapter)) return undefined;
  const [thorough, quick] = [namesOf(rest.choices), namesOf(rest.quick ?? {})];
  return thorough && quick && { thorough, quick };
}

function namesOf(choices: unknown): Map<string, string> | undefined {
  if (typeof choices !== "object" || choices === null) return undefined;
  const entries = Object.entries(choices);
  return entries.every(([, choice]) => typeof choice === "string") ? new Map(entries) : undefined;
}
