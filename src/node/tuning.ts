import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterDescription } from "../gpu/gpu.js";
import { adapterName, choicesFor, tuningTable } from "../tuner/table.js";
import { shippedTables } from "../tuner/tables/index.js";
import { makeFolder, writeFileAtomic } from "./atomic.js";
import { cacheFolder } from "./swiftshader.js";

/** Where the measurements of an adapter are kept on this machine. */
export function tuningPath(adapter: AdapterDescription): string {
  const name = createHash("sha256").update(adapterName(adapter)).digest("hex").slice(0, 16);
  return join(cacheFolder(), `tuning-${name}.json`);
}

/** What is known of an adapter's fastest kernel variants: the tables of the package, and over them what was measured on this machine. */
export async function knownTuning(adapter: AdapterDescription): Promise<Map<string, string>> {
  const tables = [...shippedTables, await cachedTable(adapter)];
  return new Map(tables.flatMap((table) => [...(choicesFor(adapter, table) ?? [])]));
}

/** Adds measurements to those of this machine; returns the file. @throws InputError where it cannot be written */
export async function keepTuning(adapter: AdapterDescription, choices: ReadonlyMap<string, string>): Promise<string> {
  const path = tuningPath(adapter);
  const older = choicesFor(adapter, await cachedTable(adapter)) ?? [];
  await makeFolder(cacheFolder());
  const table = tuningTable(adapter, new Map([...older, ...choices]));
  await writeFileAtomic(path, `${JSON.stringify(table, null, 2)}\n`);
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
