import { describe, expect, it } from "vitest";
import { convolveWeightGradientOp } from "../../src/ops/convolve_weight_gradient.js";
import { convolutionCases, convolutionGradients, manyRows, randomConvolution } from "../support/convolutions.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose } from "../support/numbers.js";
import { convolutions } from "../support/reference.js";

describe("gradient of the convolutions' weight", () => {
  const gpu = useGpu();
  const cases = [...casesFor(convolutionCases).map((sizes) => [sizes, 1e-6] as const), [manyRows, 2e-6] as const];
  for (const [sizes, tolerance] of cases) {
    const { batch, rows, columns, width } = sizes;
    it(`batch ${batch}, ${rows}×${columns} tokens of ${width}, against finite differences`, async () => {
      const values = randomConvolution(sizes);
      const got = await evaluateOne(gpu(), (bench) => convolutionGradients(bench, sizes, values).dweight);
      const reference = (weight: Float64Array) => convolutions(values.x, weight, sizes);
      expectClose(got, finiteDifferences(reference, [values.weight], 0, values.dy), tolerance);
    });
  }

  it("refuses a gradient of another batch", () => {
    const grid = { rows: 3, columns: 4 };
    expect(() => convolveWeightGradientOp.outputs({ x: f32(1, 13, 16), dy: f32(3, 2, 13, 16) }, grid)).toThrow(
      "dy has the shape [3,2,13,16], not [3,1,13,16]",
    );
  });
});
