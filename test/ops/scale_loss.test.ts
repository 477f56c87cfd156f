import { describe, expect, it } from "vitest";
import { scaleLossOp } from "../../src/ops/scale_loss.js";
import { evaluate, f32, useGpu } from "../support/gpu.js";

const gpu = useGpu();

describe("loss scaling", () => {
  it("scales the loss's gradient", async () => {
    const { seed } = await evaluate(gpu(), (bench) => {
      const share = bench.input([1], Float32Array.of(0.25));
      const inputs = { share, scaler: bench.state([4], Float32Array.of(4096, 3, 0, 0)) };
      return { seed: bench.graph.apply(scaleLossOp, inputs, {})[0] };
    });
    expect([...seed]).toEqual([1024]);
  });

  it("refuses a scaler of another length", () => {
    expect(() => scaleLossOp.outputs({ share: f32(1), scaler: f32(3) }, {})).toThrow(
      "scaler has the shape [3], not [4]",
    );
  });
});
