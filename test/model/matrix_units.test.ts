import { afterEach, describe, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { FixtureCase } from "../../src/fixture/case.js";
import { checkInference } from "../../src/fixture/inference.js";
import { fixture, fixtureFile } from "../support/fixtures.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { needsMatrixUnits } from "../support/matrix_units.js";

const gpu = useGpu(testAdapter, { guarded: false });

describe("the paper's network at 320x640 on matrix units", () => {
  afterEach(() => {
    gpu().forcedKind = undefined;
    vi.restoreAllMocks();
  });

  it("in float16: full-infer-320x640 within 1e-2", { timeout: 400_000 }, async (test) => {
    needsMatrixUnits(gpu(), test);
    const pipeline = vi.spyOn(gpu(), "pipeline");
    gpu().forcedKind = "matrix";
    const checkpoint = openCheckpoint([fixtureFile("full-patch16.pth")]);
    const original = new FixtureCase("full-infer-320x640", fixture("full-infer-320x640.safetensors"));
    const comparisons = await checkInference(gpu(), checkpoint, original, "f16");
    expect(comparisons.length).toBeGreaterThanOrEqual(6);
    for (const c of comparisons) expect(c.error, c.name).toBeLessThanOrEqual(c.tolerance ?? 1e-2);
    const labels = pipeline.mock.calls.map(([label]) => label);
    for (const name of ["linear", "attention", "patch embed", "head errors"]) {
      expect(labels).toContain(`${name} (matrix)`);
    }
  });
});
