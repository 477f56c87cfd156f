import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { runBenchmark } from "../../src/cli/index.js";
import type { TuningTable } from "../../src/tuner/table.js";
import { shippedTables } from "../../src/tuner/tables/index.js";
import { testAdapter } from "../support/gpu.js";
import { captured, expectRefusal, filesIn, fixturePath, scratch, sdmae } from "./support.js";

const at = scratch();
const streams = (...args: string[]) =>
  captured(() => runBenchmark("streams", [...args, "--size", "32x64", "--patch", "8", "--adapter", testAdapter]));

const cache = process.env.SDMAE_CACHE;
afterAll(() => {
  if (cache === undefined) delete process.env.SDMAE_CACHE;
  else process.env.SDMAE_CACHE = cache;
});

it("streams: frames a second and latencies of each number of cameras, in a table and a file", {
  timeout: 120_000,
}, async () => {
  const json = at("streams.json");
  const { code, stdout } = await streams("--streams", "1,3", "--fps", "8", "--seconds", "1", "--json", json);
  expect(code).toBe(0);
  const { results, cameraFps } = JSON.parse(readFileSync(json, "utf8"));
  expect(cameraFps).toBe(8);
  expect(results.map((r: { streams: number }) => r.streams)).toEqual([1, 3]);
  for (const { fps, latency, lags } of results) {
    expect(fps).toBeGreaterThan(0);
    expect(latency.p50).toBeGreaterThan(0);
    expect(latency.p90).toBeGreaterThanOrEqual(latency.p50);
    expect(latency.p99).toBeGreaterThanOrEqual(latency.p90);
    expect(latency.max).toBeGreaterThanOrEqual(latency.p99);
    expect(typeof lags).toBe("boolean");
  }
  expect(stdout).toMatch(/^3 +1 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +(keeps up|lags)$/m);
  expectRefusal(await streams("--streams", "1,0"), "--streams");
  expectRefusal(await streams("--fps", "0"), "--fps");
});

it("tune: measures, keeps, knows the second time; what runs later takes it", { timeout: 300_000 }, async () => {
  const model = ["--checkpoint", fixturePath("tiny-checkpoint-best.pth"), "--size", "32x64"];
  const options = [...model, "--adapter", testAdapter];
  process.env.SDMAE_CACHE = at("cache");
  const first = await sdmae("tune", ...options, "--json", at("table.json"));
  expect(first.code).toBe(0);
  expect(first.stdout).toMatch(/^linear f32 .* [\d.]+( +\*)?$/m);
  const [name] = filesIn(at("cache")).filter((file) => file.startsWith("tuning-"));
  const kept = JSON.parse(readFileSync(at("cache", name as string), "utf8"));
  const keys = Object.keys(kept.choices);
  expect(keys.length).toBeGreaterThan(3);
  for (const key of keys) expect(first.stdout).toContain(key);
  // What is known of the adapter: what was measured now, over the package's own table.
  const shipped = shippedTables.map((table) => table as TuningTable).find(({ adapter }) => adapter === kept.adapter);
  expect(JSON.parse(readFileSync(at("table.json"), "utf8"))).toEqual({
    ...kept,
    choices: { ...shipped?.choices, ...kept.choices },
  });
  const again = await sdmae("tune", ...options);
  expect(again.stdout).toContain("nothing to measure");
  // SwiftShader is unpacked there too.
  expect(filesIn(at("cache")).filter((file) => file.endsWith(".json"))).toEqual([name]);
});
