import { describe, expect, it } from "vitest";
import { anomalyMapOp } from "../../src/ops/anomaly_map.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { anomalyMap, withoutCls } from "../support/reference.js";

const gpu = useGpu();

describe("anomaly map", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8 },
      { batch: 2, rows: 1, columns: 7, patch: 16 },
      { batch: 3, rows: 5, columns: 3, patch: 8 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}`, async () => {
      const random = new Random(columns);
      const tokens = rows * columns;
      const [height, width] = [rows * patch, columns * patch];
      const prediction = random.floats(batch * (1 + tokens) * patch ** 2, -1.3, 1.3);
      const got = await evaluateOne(gpu(), (bench) => {
        const input = bench.input([batch, 1 + tokens, patch ** 2], prediction);
        return bench.graph.apply(anomalyMapOp, { prediction: input }, { patch, height, width })[0];
      });
      const want = withoutCls(prediction, batch, patch ** 2).flatMap((rows) => [
        ...anomalyMap(rows, height, width, patch),
      ]);
      expectClose(got, want, 1e-6);
    });
  }

  it("refuses a size that the patch does not divide", () => {
    const prediction = { shape: [1, 5, 64], dtype: "f32" as const };
    expect(() => anomalyMapOp.outputs({ prediction }, { patch: 8, height: 12, width: 16 })).toThrow(
      "size 12x16 is not a multiple of 8",
    );
  });
});
