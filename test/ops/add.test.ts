import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addOp, addTo } from "../../src/ops/add.js";
import { evaluate, f32, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

describe("add", () => {
  const gpu = useGpu();
  for (const shape of [[1], [3, 67], [2, 13, 20]]) {
    it(`[${shape}]: the sum, and a gradient for each input, added if an input is used twice`, async () => {
      const count = shape.reduce((n, size) => n * size, 1);
      const random = new Random(count);
      const [a, b, dy] = [random.floats(count), random.floats(count), random.floats(count)] as const;
      const got = await evaluate(gpu(), (bench) => {
        const [ta, tb, seed] = [bench.input(shape, a), bench.input(shape, b), bench.input(shape, dy)] as const;
        const { graph } = bench;
        const y = addTo(graph, ta, tb);
        const twice = addTo(graph, y, ta);
        const [da, db] = differentiate(graph, twice, seed, [ta, tb], addTo) as [Tensor, Tensor];
        return { y, da, db };
      });
      expect(Array.from(got.y)).toEqual(Array.from(a, (v, i) => Math.fround(v + b[i])));
      expect(Array.from(got.da)).toEqual(Array.from(dy, (v) => Math.fround(2 * v)));
      expect(Array.from(got.db)).toEqual(Array.from(dy));
    });
  }

  it("refuses tensors of two shapes", () => {
    expect(() => addOp.outputs({ a: f32(2, 8), b: f32(2, 4) }, {})).toThrow("b has the shape [2,4], not [2,8]");
  });
});
