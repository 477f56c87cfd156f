import { describe, expect, it } from "vitest";
import { convolveOp } from "../../src/ops/convolve.js";
import { convolutionCases, randomConvolution } from "../support/convolutions.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose } from "../support/numbers.js";
import { convolutions } from "../support/reference.js";

describe("convolutions of the projections in training", () => {
  const gpu = useGpu();
  for (const sizes of casesFor(convolutionCases)) {
    const { batch, rows, columns, width } = sizes;
    it(`batch ${batch}, ${rows}×${columns} tokens of ${width}`, async () => {
      const { x, weight } = randomConvolution(sizes);
      const got = await evaluateOne(gpu(), (bench) => {
        const inputs = {
          x: bench.input([batch, 1 + rows * columns, width], x),
          weight: bench.input([3, width, 9], weight),
        };
        return bench.graph.apply(convolveOp, inputs, { rows, columns })[0];
      });
      expectClose(got, convolutions(x, weight, sizes), 1e-6);
    });
  }

  it("refuses a weight whose taps come first", () => {
    expect(() => convolveOp.outputs({ x: f32(1, 13, 16), weight: f32(9, 3, 16) }, { rows: 3, columns: 4 })).toThrow(
      "weight has the shape [9,3,16], not [3,16,9]",
    );
  });
});
