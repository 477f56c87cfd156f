import { describe, expect, it } from "vitest";
import { unshuffleOp } from "../../src/ops/unshuffle.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";
import { unshuffle } from "../support/reference.js";

describe("unshuffle", () => {
  const gpu = useGpu();
  for (const { batch, tokens, keep, width } of casesFor(
    [
      { batch: 1, tokens: 1, keep: 1, width: 16 },
      { batch: 3, tokens: 24, keep: 12, width: 16 },
      { batch: 2, tokens: 33, keep: 1, width: 32 },
      { batch: 2, tokens: 32, keep: 24, width: 128 },
      { batch: 1, tokens: 101, keep: 101, width: 20 },
      { batch: 1, tokens: 800, keep: 400, width: 128 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${keep} of ${tokens} tokens of ${width}`, async () => {
      const random = new Random(tokens + width);
      const x = random.floats(batch * (1 + keep) * width);
      const maskToken = random.floats(width);
      const ids = Array.from({ length: batch }, () => random.permutation(tokens));
      const got = await evaluateOne(gpu(), (bench) => {
        const inputs = {
          x: bench.input([batch, 1 + keep, width], x),
          maskToken: bench.input([width], maskToken),
          idsRestore: bench.input([batch, tokens], Uint32Array.from(ids.flat())),
        };
        return bench.graph.apply(unshuffleOp, inputs, {})[0];
      });
      const rows = (1 + keep) * width;
      const want = ids.flatMap((own, b) => [...unshuffle(x.subarray(b * rows, (b + 1) * rows), maskToken, own)]);
      expect(Array.from(got)).toEqual(want);
    });
  }

  it("refuses more kept tokens than there are", () => {
    const idsRestore = { shape: [1, 6], dtype: "u32" as const };
    expect(() => unshuffleOp.outputs({ x: f32(1, 9, 16), maskToken: f32(16), idsRestore }, {})).toThrow(
      "8 tokens cannot be kept of 6",
    );
  });
});
