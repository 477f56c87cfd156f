import { describe, expect, it } from "vitest";
import { depthwiseConvOp, foldBatchNorm } from "../../src/ops/depthwise_conv.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { convProjection } from "../support/reference.js";

describe("depthwise convolutions of the projections", () => {
  const gpu = useGpu();
  const cases = [
    { batch: 1, rows: 1, columns: 1, width: 16 },
    { batch: 2, rows: 1, columns: 12, width: 32 },
    { batch: 3, rows: 12, columns: 1, width: 16 },
    { batch: 2, rows: 4, columns: 6, width: 64 },
    { batch: 1, rows: 8, columns: 4, width: 128 },
    { batch: 1, rows: 20, columns: 20, width: 256 },
    { batch: 1, rows: 5, columns: 7, width: 20 },
  ];
  for (const { batch, rows, columns, width } of casesFor(cases)) {
    it(`batch ${batch}, ${rows}×${columns} tokens of ${width}`, async () => {
      const random = new Random(rows * 100 + columns);
      const tokens = 1 + rows * columns;
      const x = random.floats(batch * tokens * width);
      const projections = Array.from({ length: 3 }, () => ({
        weight: random.floats(width * 9),
        gamma: random.floats(width, 0.5, 1.5),
        beta: random.floats(width),
        mean: random.floats(width),
        variance: random.floats(width, 0.2, 2),
      }));
      const got = await evaluateOne(gpu(), (bench) => {
        const { weight, bias } = foldBatchNorm(projections, 1e-5);
        const inputs = {
          x: bench.input([batch, tokens, width], x),
          weight: bench.graph.weight("weight", [9, 3, width], weight),
          bias: bench.graph.weight("bias", [3, width], bias),
        };
        return bench.graph.apply(depthwiseConvOp, inputs, { rows, columns })[0];
      });
      const want = projections.flatMap((p) => [...convProjection(x, { batch, rows, columns, width }, p, 1e-5)]);
      expectClose(got, want, 2e-6);
    });
  }

  it("refuses a grid that does not fit the tokens", () => {
    const inputs = { x: f32(1, 13, 16), weight: f32(9, 3, 16), bias: f32(3, 16) };
    expect(() => depthwiseConvOp.outputs(inputs, { rows: 3, columns: 5 })).toThrow(
      "x has the shape [1,13,16], not [any,16,any]",
    );
  });
});
