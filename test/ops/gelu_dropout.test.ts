import { describe, expect, it } from "vitest";
import { geluDropoutOp } from "../../src/ops/gelu_dropout.js";
import { dropoutCases, dropoutMask, type Key } from "../support/dropout.js";
import { casesFor, evaluateOne, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { gelu } from "../support/reference.js";

const gpu = useGpu();

/** The mask as the GPU draws it, 1 where a value stays: GELU(8) is 8. */
async function drawn(count: number, rate: number, { seed, step, layer }: Key): Promise<number[]> {
  const y = await evaluateOne(gpu(), (bench) => {
    const x = bench.input([count], new Float32Array(count).fill(8));
    const inputs = { x, seed: bench.input([2], Uint32Array.of(seed, step)) };
    return bench.graph.apply(geluDropoutOp, inputs, { rate, layer })[0];
  });
  return Array.from(y, (v) => (v > 0 ? 1 : 0));
}

describe("GELU and dropout", () => {
  for (const { shape, rate, key } of casesFor(dropoutCases, 2)) {
    it(`[${shape}] at a rate of ${rate}`, async () => {
      const count = shape.reduce((n, size) => n * size, 1);
      const x = new Random(count).floats(count, -5, 5);
      x.set([0, -9, 9]);
      const got = await evaluateOne(gpu(), (bench) => {
        const inputs = { x: bench.input(shape, x), seed: bench.input([2], Uint32Array.of(key.seed, key.step)) };
        return bench.graph.apply(geluDropoutOp, inputs, { rate, layer: key.layer })[0];
      });
      const factors = dropoutMask(count, rate, key);
      expectClose(
        got,
        Array.from(x, (v, i) => gelu(v) * factors[i]),
        1e-6,
      );
    });
  }

  it("drops the given share, whatever the seed, step and layer", async () => {
    const count = 40000;
    for (const rate of [0.1, 0.5]) {
      for (const key of [
        { seed: 1, step: 1, layer: 1 },
        { seed: 2 ** 31, step: 99999, layer: 0 },
      ]) {
        const stays = await drawn(count, rate, key);
        const share = 1 - stays.reduce((a, v) => a + v, 0) / count;
        // Four standard deviations of a binomial share.
        expect(Math.abs(share - rate)).toBeLessThan(4 * Math.sqrt((rate * (1 - rate)) / count));
      }
    }
  });

  it("draws independent masks, and independent neighbours within a mask", async () => {
    const count = 40000;
    const rate = 0.5;
    const key = { seed: 5, step: 10, layer: 2 };
    const own = await drawn(count, rate, key);
    expect(await drawn(count, rate, key)).toEqual(own);
    const others = [
      await drawn(count, rate, { ...key, seed: 6 }),
      await drawn(count, rate, { ...key, step: 11 }),
      await drawn(count, rate, { ...key, layer: 3 }),
      ...[1, 2, 4, 512].map((apart) => [...own.slice(apart), ...own.slice(0, apart)]),
    ];
    for (const other of others) {
      const agreeing = other.reduce((sum, v, i) => sum + (v === own[i] ? 1 : 0), 0) / count;
      expect(Math.abs(agreeing - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / count));
    }
  });

  it("refuses a number of values that is not a multiple of 4, and a rate of 1", () => {
    const seed = { shape: [2], dtype: "u32" as const };
    expect(() => geluDropoutOp.outputs({ x: f32(3, 5), seed }, { rate: 0, layer: 0 })).toThrow("not a multiple of 4");
    expect(() => geluDropoutOp.outputs({ x: f32(4), seed }, { rate: 1, layer: 0 })).toThrow("dropout at a rate of 1");
  });
});
