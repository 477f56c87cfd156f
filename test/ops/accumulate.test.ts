import { describe, expect, it } from "vitest";
import { Program } from "../../src/graph/program.js";
import { accumulateOp } from "../../src/ops/accumulate.js";
import { Bench, f32, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

describe("accumulate", () => {
  const gpu = useGpu();

  it("adds to a slice of a state, step after step, and changes nothing beside it", async () => {
    const random = new Random(1);
    const before = random.floats(64 + 130 + 1);
    const value = random.floats(129);
    const bench = new Bench(gpu());
    const state = bench.state([before.length], before);
    const slice = bench.graph.slice("slice", state, 64, [129]);
    bench.graph.apply(accumulateOp, { total: slice, value: bench.input([3, 43], value) }, {});
    const program = await Program.compile(gpu(), bench.graph);
    try {
      bench.fill(program);
      program.submit();
      program.submit();
      await program.finish();
      const want = before.map((v, i) => {
        const own = i >= 64 && i < 64 + 129 ? value[i - 64] : 0;
        return Math.fround(Math.fround(v + own) + own);
      });
      expect(await program.read(state)).toEqual(want);
    } finally {
      program.close();
    }
  });

  it("refuses a value of another size", () => {
    expect(() => accumulateOp.outputs({ total: f32(2, 8), value: f32(15) }, {})).toThrow(
      "a value of the shape [15] does not fit a total of [2,8]",
    );
  });
});
