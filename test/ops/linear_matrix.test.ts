import { describe, it } from "vitest";
import { asGpu, casesFor, useGpu } from "../support/gpu.js";
import { checkLinear, type LinearCase } from "../support/linear_case.js";
import { needsMatrixUnits } from "../support/matrix_units.js";

/**
 * The kernels for matrix units, on the units of the tests' adapter. lavapipe of Mesa 26 or newer
 * has units of 8x8x8.
 */
const gpu = useGpu();

describe("linear layers on matrix units", () => {
  // Rows that do not fill a tile; one step of the inner width and many, of 16 and of 32.
  for (const c of casesFor(
    [
      { batch: 1, m: 70, k: 16, n: 64, variant: "matrix 32x32 by 32" },
      { batch: 1, m: 140, k: 32, n: 64, variant: "matrix 128x64 by 32", residual: true, period: 7 },
      { batch: 2, m: 40, k: 48, n: 64, variant: "matrix 32x32 by 32", normalize: true, gelu: true, residual: true },
      { batch: 1, m: 70, k: 64, n: 72, variant: "matrix 64x64 by 32", normalize: true },
      { batch: 1, m: 130, k: 96, n: 136, variant: "matrix 128x128 by 64", gelu: true },
      { batch: 3, m: 131, k: 64, n: 64, variant: "matrix 128x64 by 32" },
    ] satisfies LinearCase[] as LinearCase[],
    6,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 240_000 }, async (test) => {
      needsMatrixUnits(gpu(), test);
      await checkLinear(gpu(), asGpu(gpu()), c, "f16");
    });
  }

  // In float32, and as exact as that.
  for (const c of casesFor(
    [
      { batch: 1, m: 33, k: 16, n: 64, variant: "split 32x32 by 32", residual: true, period: 11 },
      { batch: 2, m: 40, k: 32, n: 32, variant: "split 32x32 by 32", residual: true },
      { batch: 2, m: 70, k: 64, n: 64, variant: "split 64x64 by 32", normalize: true, gelu: true },
      { batch: 1, m: 70, k: 64, n: 72, variant: "split 64x64 by 32", normalize: true, offset: 1000 },
      { batch: 1, m: 150, k: 48, n: 136, variant: "split 128x128 by 64" },
    ] satisfies LinearCase[] as LinearCase[],
    5,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 240_000 }, async (test) => {
      needsMatrixUnits(gpu(), test);
      await checkLinear(gpu(), asGpu(gpu()), c, "f32");
    });
  }
});
