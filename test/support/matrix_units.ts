import type { TestContext } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { matrixUnits } from "../../src/ops/variants.js";

/** Skips a test if the adapter has no matrix units that the kernels can use. */
export function needsMatrixUnits(gpu: Gpu, { skip }: TestContext): void {
  const units = matrixUnits(gpu);
  if (typeof units === "string") skip(`matrix units of ${gpu.adapter.kind}: ${units}`);
}
