import { describe, expect, it } from "vitest";
import { columnSumOp } from "../../src/ops/column_sum.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { asOnGpu } from "../support/variants.js";

interface Case {
  batch: number;
  m: number;
  n: number;
  scales?: readonly number[];
}

describe("column sums", () => {
  const gpu = useGpu();

  async function check(op: typeof columnSumOp, { batch, m, n, scales }: Case): Promise<void> {
    const x = new Random(m + n).floats(batch * m * n, -1, 2);
    const got = await evaluateOne(
      gpu(),
      (bench) => bench.graph.apply(op, { x: bench.input([batch, m, n], x) }, { scales })[0],
    );
    const want = new Float64Array(batch * n);
    for (const [i, value] of x.entries()) {
      const b = Math.floor(i / (m * n));
      want[b * n + (i % n)] += value * (scales?.[b] ?? 1);
    }
    expectClose(got, want, 1e-6);
  }

  const cases: Case[] = [
    { batch: 1, m: 1, n: 4, scales: [3] },
    { batch: 3, m: 13, n: 20, scales: [0.125, 1, -2] },
    { batch: 1, m: 40100, n: 8 },
    { batch: 5, m: 3, n: 8 }, // more batch entries than can have scales
    { batch: 2, m: 1003, n: 260, scales: [1, 0.5] },
  ];
  for (const sizes of casesFor(cases)) {
    it(`[${sizes.batch}, ${sizes.m}, ${sizes.n}]`, () => check(columnSumOp, sizes));
  }
  it("several columns' and rows' workgroups, as on a GPU", () =>
    check(asOnGpu(columnSumOp), { batch: 2, m: 1003, n: 260, scales: [1, 0.5] }));

  it("refuses scales that are not one per batch entry", () => {
    const outputs = (batch: number, scales: number[]) =>
      columnSumOp.outputs({ x: { shape: [batch, 2, 4], dtype: "f32" } }, { scales });
    expect(() => outputs(3, [1, 2])).toThrow("2 scales for 3 batch entries");
    expect(() => outputs(5, [1, 1, 1, 1, 1])).toThrow("scales of 5 batch entries, at most 4 can have them");
  });
});
