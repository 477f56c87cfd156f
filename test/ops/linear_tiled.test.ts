import { describe, it } from "vitest";
import type { Target } from "../../src/gpu/gpu.js";
import { casesFor, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { checkLinear, type LinearCase } from "../support/linear_case.js";
import { gpuTarget } from "../support/variants.js";

/** The adapter of the tests, which would choose other variants. */
const gpu = useGpu();
const tiles = (): Target => gpuTarget(gpu(), 32);

describe("linear layers, tiled", () => {
  // Rows and columns that do not fill a tile; an inner width of one step and of many.
  for (const c of casesFor(
    [
      { batch: 1, m: 70, k: 16, n: 64, variant: "tiled 64x64 by 256" },
      { batch: 3, m: 64, k: 48, n: 100, variant: "tiled 64x64 by 256", normalize: true, gelu: true },
      { batch: 1, m: 131, k: 64, n: 80, variant: "tiled 64x32 by 64", residual: true },
      { batch: 1, m: 33, k: 32, n: 32, variant: "tiled 32x32 by 64", residual: true, period: 11 },
      { batch: 2, m: 100, k: 64, n: 128, variant: "tiled 64x128 by 256", normalize: true, residual: true },
    ] satisfies LinearCase[] as LinearCase[],
    1,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 120_000 }, () =>
      checkLinear(gpu(), tiles(), c, "f32"),
    );
  }

  it("in float16", { timeout: 120_000 }, async (test) => {
    needsHalf(gpu(), test);
    const variant = "tiled 64x64 by 256";
    await checkLinear(gpu(), tiles(), { batch: 1, m: 70, k: 32, n: 76, variant, residual: true }, "f16");
    await checkLinear(gpu(), tiles(), { batch: 1, m: 70, k: 32, n: 76, variant, normalize: true }, "f16");
  });
});
