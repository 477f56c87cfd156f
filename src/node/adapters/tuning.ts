// An adapter's fastest kernel variants: the package's tables, and a file on this machine.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterDescription } from "../../gpu/gpu.js";
import { adapterName, type Choices, choicesFor, tuningTable } from "../../tuner/table.js";
import { shippedTables } from "../../tuner/tables/index.js";
import { makeFolder, writeFileAtomic } from "../files/atomic.js";
import { cacheFolder } from "./swiftshader.js";

/** The file that keeps this machine's measurements of an adapter. */
export function tuningPath(adapter: AdapterDescription): string {
  const name = createHash("sha256").update(adapterName(adapter)).digest("hex").slice(0, 16);
  return join(cacheFolder(), `tuning-${name}.json`);
}

/**
 * An adapter's fastest kernel variants, by call: from the package's tables, then from this
 * machine's measurements, which win.
 * @param least "thorough" leaves out what the first use found quickly
 */
export async function knownTuning(
  adapter: AdapterDescription,
  least: keyof Choices = "quick",
): Promise<Map<string, string>> {
  const tables = [...shippedTables, await cachedTable(adapter)].map((table) => choicesFor(adapter, table));
  const parts = least === "quick" ? (["quick", "thorough"] as const) : (["thorough"] as const);
  return new Map(parts.flatMap((part) => tables.flatMap((table) => [...(table?.[part] ?? [])])));
}

/**
 * Adds measurements to this machine's.
 * @param choices variants by call
 * @returns the path of the file
 * @throws InputError if it cannot be written
 */
export async function keepTuning(
  adapter: AdapterDescription,
  choices: ReadonlyMap<string, string>,
  part: keyof Choices = "thorough",
): Promise<string> {
  const path = tuningPath(adapter);
  const older = choicesFor(adapter, await cachedTable(adapter)) ?? { thorough: new Map(), quick: new Map() };
  const kept = { ...older, [part]: new Map([...older[part], ...choices]) };
  await makeFolder(cacheFolder());
  await writeFileAtomic(path, `${JSON.stringify(tuningTable(adapter, kept.thorough, kept.quick), null, 2)}\n`);
  return path;
}

/** Undefined for a file that is missing or damaged: the next measurement replaces it. */
async function cachedTable(adapter: AdapterDescription): Promise<unknown> {
  try {
    return JSON.parse(await readFile(tuningPath(adapter), "utf8"));
  } catch {
    return undefined;
  }
}
