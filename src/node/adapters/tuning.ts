import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterDescription } from "../../gpu/gpu.js";
import { adapterName, type Choices, choicesFor, tuningTable } from "../../tuner/table.js";
import { shippedTables } from "../../tuner/tables/index.js";
import { makeFolder, writeFileAtomic } from "../files/atomic.js";
import { cacheFolder } from "./swiftshader.js";

/** Where the measurements of an adapter are kept on this machine. */
export function tuningPath(adapter: AdapterDescription): string {
  const name = createHash("sha256").update(adapterName(adapter)).digest("hex").slice(0, 16);
  return join(cacheFolder(), `tuning-${name}.json`);
}

/**
 * What is known of an adapter's fastest kernel variants: the tables of the package, and over them
 * what was measured on this machine.
 * @param least "thorough" leaves out what a first use found quickly
 */
export async function knownTuning(
  adapter: AdapterDescription,
  least: keyof Choices = "quick",
): Promise<Map<string, string>> {
  const tables = [...shippedTables, await cachedTable(adapter)].map((table) => choicesFor(adapter, table));
  const parts = least === "quick" ? (["quick", "thorough"] as const) : (["thorough"] as const);
  return new Map(parts.flatMap((part) => tables.flatMap((table) => [...(table?.[part] ?? [])])));
}

/** Adds measurements to those of this machine; returns the file. @throws InputError where it cannot be written */
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

/** A file that is missing or damaged is no table: it says nothing, and the next measurement replaces it. */
async function cachedTable(adapter: AdapterDescription): Promise<unknown> {
  try {
    return JSON.parse(await readFile(tuningPath(adapter), "utf8"));
  } catch {
    return undefined;
  }
}
