// Tuning tables: which kernel variants are the fastest on an adapter, as JSON.
import type { AdapterDescription } from "../gpu/gpu.js";

/** Raise it when kernels change so much that older measurements no longer hold. */
const version = 4;

/** The fastest kernel variants on an adapter, as stored in a file. */
export interface TuningTable {
  format: "sdmae tuning";
  version: number;
  /** {@link adapterName}, which includes the driver: another driver needs another table. */
  adapter: string;
  /** Names of variants, by key of the call. */
  choices: Record<string, string>;
  /** From a quick first use (first_use.ts): they count until `tune` measures the call. */
  quick?: Record<string, string>;
}

/** The choices of a table, by key of the call. */
export interface Choices {
  thorough: ReadonlyMap<string, string>;
  quick: ReadonlyMap<string, string>;
}

/** The name of an adapter in tuning tables. */
export function adapterName({ vendor, architecture, device, description }: AdapterDescription): string {
  return [vendor, architecture, device, description].filter(Boolean).join(" | ");
}

/** Makes a table, its keys sorted. */
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
 * @param table parsed JSON, which is not trusted
 * @returns undefined if it is not a table, or belongs to another version or adapter
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
