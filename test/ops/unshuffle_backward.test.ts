import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { unshuffleOp } from "../../src/ops/unshuffle.js";
import { unshuffleBackwardOp } from "../../src/ops/unshuffle_backward.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { unshuffle } from "../support/reference.js";

describe("gradient of unshuffling", () => {
  const gpu = useGpu();
  for (const { batch, tokens, keep, width } of casesFor(
    [
      { batch: 1, tokens: 3, keep: 3, width: 4 },
      { batch: 2, tokens: 13, keep: 1, width: 16 },
      { batch: 3, tokens: 25, keep: 12, width: 20 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${keep} of ${tokens} tokens of ${width}, against finite differences`, async () => {
      const random = new Random(tokens + width);
      const x = random.floats(batch * (1 + keep) * width);
      const maskToken = random.floats(width);
      const dy = random.floats(batch * (1 + tokens) * width);
      const ids = Array.from({ length: batch }, () => random.permutation(tokens));
      const got = await evaluate(gpu(), (bench) => {
        const inputs = {
          x: bench.input([batch, 1 + keep, width], x),
          maskToken: bench.input([width], maskToken),
          idsRestore: bench.input([batch, tokens], Uint32Array.from(ids.flat())),
        };
        const y = bench.graph.apply(unshuffleOp, inputs, {})[0];
        const seed = bench.input([batch, 1 + tokens, width], dy);
        const wanted = [inputs.x, inputs.maskToken];
        const [dx, dMask] = differentiate(bench.graph, y, seed, wanted, addTo) as [Tensor, Tensor];
        return { dx, dMask };
      });
      const rows = (1 + keep) * width;
      const reference = (...[own, mask]: Float64Array[]) =>
        ids.flatMap((order, b) => [...unshuffle(own.subarray(b * rows, (b + 1) * rows), mask, order)]);
      expectClose(got.dx, finiteDifferences(reference, [x, maskToken], 0, dy), 1e-6);
      expectClose(got.dMask, finiteDifferences(reference, [x, maskToken], 1, dy), 1e-6);
    });
  }

  it("adds up the removed tokens of a real batch", async () => {
    const [batch, tokens, keep, width] = [5, 800, 400, 128] as const;
    const random = new Random(1);
    const dy = random.floats(batch * (1 + tokens) * width);
    const ids = Array.from({ length: batch }, () => random.permutation(tokens));
    const got = await evaluate(gpu(), (bench) => {
      const inputs = {
        dy: bench.input([batch, 1 + tokens, width], dy),
        idsRestore: bench.input([batch, tokens], Uint32Array.from(ids.flat())),
      };
      const [dx, dMask] = bench.graph.apply(unshuffleBackwardOp, inputs, { keep });
      return { dx, dMask };
    });
    const dx = new Float64Array(batch * (1 + keep) * width);
    const dMask = new Float64Array(width);
    ids.forEach((own, b) => {
      [-1, ...own].forEach((place, row) => {
        for (let d = 0; d < width; d++) {
          const value = dy[(b * (1 + tokens) + row) * width + d];
          if (place < keep) dx[(b * (1 + keep) + 1 + place) * width + d] = value;
          else dMask[d] += value;
        }
      });
    });
    expect(Array.from(got.dx)).toEqual(Array.from(dx));
    expectClose(got.dMask, dMask, 1e-6);
  });

  it("refuses more kept tokens than there are", () => {
    const inputs = {
      dy: { shape: [1, 7, 16], dtype: "f32" as const },
      idsRestore: { shape: [1, 6], dtype: "u32" as const },
    };
    expect(() => unshuffleBackwardOp.outputs(inputs, { keep: 8 })).toThrow("8 tokens cannot be kept of 6");
  });
});
