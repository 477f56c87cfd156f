import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { FixtureCase } from "../../src/fixture/case.js";
import { checkTraining } from "../../src/fixture/training.js";
import { boundsChecked, casesFor, useGpu } from "../support/gpu.js";

const gpu = useGpu();

describe("two training steps agree with the original: losses, gradients, weights, running statistics", () => {
  for (const [name, kind, count] of casesFor(
    [
      ["tiny-train-stage1", "gradient-weighted", 114],
      ["tiny-train-normpix-unweighted", "masked, normalised targets", 114],
      ["tiny-train-stage2", "stage 2", 29],
    ] as const,
    1,
  )) {
    // The first case compiles the kernels, twice.
    it(name, { timeout: 400_000 }, async () => {
      const path = fileURLToPath(new URL(`../fixtures/${name}.safetensors`, import.meta.url));
      const fixture = new FixtureCase(name, readFileSync(path));
      // Equal errors with clamped indices and without mean equal values.
      const comparisons = await boundsChecked(gpu(), (device) => checkTraining(device, fixture));
      expect(comparisons[0]?.name).toBe(`out.loss (${kind})`);
      expect(comparisons.filter((c) => c.name.startsWith("grad."))).toHaveLength(count);
      expect(comparisons.filter((c) => c.name.includes("running_")).length).toBeGreaterThan(20);
      for (const { name: what, error, tolerance = 1e-4 } of comparisons) {
        expect.soft(error, what).toBeLessThan(tolerance);
        // Apart from rounding they agree much better than they must.
        if (!what.endsWith("proj_k.bias")) expect.soft(error, what).toBeLessThan(2e-5);
      }
    });
  }
});
