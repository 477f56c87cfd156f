import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { runBenchmark } from "../../src/bench/index.js";
import { isLagging, nextNumber } from "../../src/bench/streams.js";
import type { StreamsFigure } from "../../src/report/bench/streams.js";
import { captured, expectRefusal } from "../support/cli.js";
import { scratch } from "../support/folders.js";
import { testAdapter } from "../support/gpu.js";

const at = scratch();
const streams = (...args: string[]) =>
  captured(() => runBenchmark("streams", [...args, "--size", "32x64", "--patch", "8", "--adapter", testAdapter]));

it("measures frames per second and latencies per number of cameras, for a table and a file", {
  timeout: 120_000,
}, async () => {
  const [json, out] = [at("streams.json"), at("streams.html")];
  const files = ["--json", json, "--out", out];
  const { code, stdout } = await streams("--streams", "1,3", "--fps", "8", "--seconds", "1", ...files);
  expect(code).toBe(0);
  const { results, cameraFps, complete, dtype } = JSON.parse(readFileSync(json, "utf8"));
  expect(cameraFps).toBe(8);
  expect([complete, dtype]).toEqual([true, "f32"]);
  expect(results.map((r: { streams: number }) => r.streams)).toEqual([1, 3]);
  for (const { fps, latency, lags } of results) {
    expect(fps).toBeGreaterThan(0);
    expect(latency.p50).toBeGreaterThan(0);
    expect(latency.p90).toBeGreaterThanOrEqual(latency.p50);
    expect(latency.p99).toBeGreaterThanOrEqual(latency.p90);
    expect(latency.max).toBeGreaterThanOrEqual(latency.p99);
    expect(typeof lags).toBe("boolean");
  }
  expect(stdout).toMatch(/^ +3 +1 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +(keeps up|lags)$/m);
  const html = readFileSync(out, "utf8");
  // Two numbers of cameras: a point each in two lines of frames per second and four of latency; a
  // row each.
  expect(html.match(/<circle/g)).toHaveLength(12);
  expect(html.match(/<th scope="row">/g)).toHaveLength(2);
  expectRefusal(await streams("--streams", "1,0"), "--streams");
  expectRefusal(await streams("--fps", "0"), "--fps");
  expectRefusal(await streams("--out", at("streams.png")), "must be named *.html");
  expectRefusal(await streams("--json", at("none", "streams.json")), "there is no folder");
  expectRefusal(await streams("--json", at()), "it is a folder");
});

it("looks for the most cameras that do not lag", () => {
  const figure = (streams: number, lags: boolean): StreamsFigure => {
    return { streams, batch: 1, fps: 1, latency: { p50: 1, p90: 1, p99: 1, max: 1 }, lags };
  };
  const tried = (most: number) => {
    const results: StreamsFigure[] = [];
    for (let next = nextNumber({}, results); next !== undefined; next = nextNumber({}, results))
      results.push(figure(next, next > most));
    return results.map(({ streams }) => streams);
  };
  expect(tried(0)).toEqual([1]);
  expect(tried(1)).toEqual([1, 2]);
  expect(tried(5)).toEqual([1, 2, 4, 8, 6, 5]);
  expect(tried(20)).toEqual([1, 2, 4, 8, 16, 32, 24, 20, 22]);
  expect(tried(5000)).toEqual(Array.from({ length: 13 }, (_, i) => 2 ** i));
  // Memory does not suffice for 40 and more, although fewer do not lag.
  const roomy = [1, 2, 4, 8, 16, 32].map((streams) => figure(streams, false));
  expect(nextNumber({}, roomy, 64)).toBe(48);
  expect(nextNumber({}, roomy, 48)).toBe(40);
  expect(nextNumber({}, [...roomy, figure(36, false)], 40)).toBeUndefined();
  // Only the numbers that the user asked for.
  expect(nextNumber({ streams: [5, 3] }, [])).toBe(5);
  expect(nextNumber({ streams: [5, 3] }, [figure(5, true)])).toBe(3);
  expect(nextNumber({ streams: [5] }, [figure(5, true)])).toBeUndefined();
});

it("says that cameras lag if the queue grows, but not if scores take long or one is late", () => {
  const latencies = (each: (t: number) => number) => Array.from({ length: 250 }, (_, i) => each(i / 25));
  expect(
    isLagging(
      latencies(() => 0.03),
      10,
    ),
  ).toBe(false);
  expect(
    isLagging(
      latencies(() => 2.5),
      10,
    ),
  ).toBe(false);
  expect(
    isLagging(
      latencies((t) => (t === 5 ? 3 : 0.02)),
      10,
    ),
  ).toBe(false);
  // A twentieth more frames than can be scored.
  expect(
    isLagging(
      latencies((t) => 0.02 + 0.1 * t),
      10,
    ),
  ).toBe(true);
  // A hundredth more: only a long measurement shows it.
  expect(
    isLagging(
      latencies((t) => 0.02 + 0.01 * t),
      10,
    ),
  ).toBe(false);
  expect(
    isLagging(
      latencies((t) => 0.02 + 0.15 * t),
      150,
    ),
  ).toBe(true);
});
