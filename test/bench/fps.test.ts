import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectRefusal, filesIn, fps } from "../support/cli.js";
import { scratch } from "../support/folders.js";
import { testAdapter } from "../support/gpu.js";

const at = scratch();
const adapter = ["--adapter", testAdapter];

describe("fps", () => {
  it("lists its options with --help", async () => {
    const { code, stdout } = await fps("--help");
    expect(code).toBe(0);
    const options = ["--size", "--patch", "--batch", "--seconds", "--dtype", "--checkpoint", "--adapter"];
    for (const option of [...options, "--list-adapters", "--peer", "--profile", "--json"]) {
      expect(stdout).toContain(`${option} `);
    }
  });

  it("prints and writes rates", async () => {
    const json = at("fps.json");
    const size = ["--size", "32x64", "--patch", "8", "--seconds", "0.2"];
    const { code, stdout, stderr } = await fps(...size, ...adapter, "--json", json);
    // On a slow machine progress is printed, but nothing else.
    const others = stderr
      .split("\n")
      .filter((line) => !/^(?:compiling kernels; .*|\d of 3 measurements.*|)$/.test(line));
    expect({ code, others }).toEqual({ code: 0, others: [] });
    const report = JSON.parse(readFileSync(json, "utf8"));
    expect(report).toMatchObject({ size: { height: 32, width: 64 }, patch: 8, dtype: "f32", peers: [] });
    for (const rate of [report.model, report.endToEnd]) {
      expect(rate.measurements).toBeGreaterThanOrEqual(3);
      expect(rate.min).toBeGreaterThan(0);
      expect(rate.median).toBeGreaterThanOrEqual(rate.min);
      expect(rate.max).toBeGreaterThanOrEqual(rate.median);
      expect(rate.max).toBeLessThan(Number.POSITIVE_INFINITY);
    }
    for (const key of ["gflopPerFrame", "gflopPerSecond", "peakGflopPerSecond", "dispatches", "memoryBytes"]) {
      expect(report[key], key).toBeGreaterThan(0);
      expect(report[key], key).toBeLessThan(Number.POSITIVE_INFINITY);
    }
    expect(report.gflopPerSecond).toBeCloseTo(report.gflopPerFrame * report.model.median, 9);
    expect(stdout).toContain(`model         ${report.model.median.toPrecision(4)} frames/s (`);
    expect(stdout).toContain(`end to end    ${report.endToEnd.median.toPrecision(4)} frames/s (`);
    expect(stdout).toContain(`written       ${json}`);
    expect(filesIn(at()).filter((name) => name.startsWith("fps"))).toEqual(["fps.json"]);
  });

  it("refuses sizes, peers, types, checkpoints and adapters that do not work", async () => {
    expectRefusal(await fps("--size", "30x64", "--patch", "8", ...adapter), "size 30x64 does not divide");
    expectRefusal(
      await fps("--size", "24x40", "--patch", "8", "--mask-ratio", "0.5", ...adapter),
      "mask ratio 0.5 leaves no grid at 24x40",
    );
    expectRefusal(await fps("--peer", "torch"), "--peer");
    expectRefusal(await fps("--dtype", "f64"), "--dtype");
    expectRefusal(await fps("--checkpoint", at("none.pth")), "none.pth: cannot be read");
    expectRefusal(await fps("--adapter", "nonsense"), 'no adapter named "nonsense"');
  });
});
