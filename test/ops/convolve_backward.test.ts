import { describe, expect, it } from "vitest";
import { convolveBackwardOp } from "../../src/ops/convolve_backward.js";
import { convolutionCases, convolutionGradients, manyRows, randomConvolution } from "../support/convolutions.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose } from "../support/numbers.js";
import { convolutions } from "../support/reference.js";

describe("gradient of the convolutions", () => {
  const gpu = useGpu();
  for (const sizes of casesFor(convolutionCases)) {
    const { batch, rows, columns, width } = sizes;
    it(`batch ${batch}, ${rows}×${columns} tokens of ${width}, against finite differences`, async () => {
      const values = randomConvolution(sizes);
      const got = await evaluateOne(gpu(), (bench) => convolutionGradients(bench, sizes, values).dx);
      const reference = (x: Float64Array) => convolutions(x, values.weight, sizes);
      expectClose(got, finiteDifferences(reference, [values.x], 0, values.dy), 1e-6);
    });
  }

  it("many rows: the slope along x is the value, since a convolution is linear", async () => {
    const values = randomConvolution(manyRows);
    const got = await evaluateOne(gpu(), (bench) => convolutionGradients(bench, manyRows, values).dx);
    const y = convolutions(values.x, values.weight, manyRows);
    const value = y.reduce((sum, v, i) => sum + v * values.dy[i], 0);
    const slope = got.reduce((sum, v, i) => sum + v * values.x[i], 0);
    expect(Math.abs(slope - value) / Math.hypot(...y)).toBeLessThan(1e-5);
  });

  it("refuses a grid that does not fit the tokens", () => {
    const grid = { rows: 3, columns: 4 };
    expect(() => convolveBackwardOp.outputs({ dy: f32(3, 1, 12, 16), taps: f32(9, 3, 16) }, grid)).toThrow(
      "dy has the shape [3,1,12,16], not [3,any,13,any]",
    );
  });
});
