import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { TuningTable } from "../../../src/tuner/table.js";
import { shippedTables } from "../../../src/tuner/tables/index.js";
import { filesIn, sdmae } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch, useCache } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
useCache(at("cache"));

it("measures, keeps the choices, and measures nothing the second time", { timeout: 300_000 }, async () => {
  const model = ["--checkpoint", fixturePath("tiny-checkpoint-best.pth"), "--size", "32x64"];
  const options = [...model, "--adapter", testAdapter];
  const first = await sdmae("tune", ...options, "--json", at("table.json"));
  expect(first.code).toBe(0);
  expect(first.stdout).toMatch(/^linear f32 .* [\d.]+( +\*)?$/m);
  const [name] = filesIn(at("cache")).filter((file) => file.startsWith("tuning-"));
  const kept = JSON.parse(readFileSync(at("cache", name), "utf8"));
  const keys = Object.keys(kept.choices);
  expect(keys.length).toBeGreaterThan(3);
  for (const key of keys) expect(first.stdout).toContain(key);
  // The table has the new choices, and the package's for other calls.
  const shipped = shippedTables.map((table) => table as TuningTable).find(({ adapter }) => adapter === kept.adapter);
  expect(JSON.parse(readFileSync(at("table.json"), "utf8"))).toEqual({
    ...kept,
    choices: { ...shipped?.choices, ...kept.choices },
  });
  const again = await sdmae("tune", ...options);
  expect(again.stdout).toContain("nothing to measure");
  // SwiftShader is unpacked into the same folder.
  expect(filesIn(at("cache")).filter((file) => file.endsWith(".json"))).toEqual([name]);
});
