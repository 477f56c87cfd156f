import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { geluDropoutOp } from "../../src/ops/gelu_dropout.js";
import { geluDropoutBackwardOp } from "../../src/ops/gelu_dropout_backward.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { casesFor, evaluate, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { gelu } from "../support/reference.js";

const gpu = useGpu();

/** PCG-4D by the paper's listing: the four words of a key. */
function pcg4d(key: readonly [number, number, number, number]): number[] {
  const v = key.map((word) => (Math.imul(word, 1664525) + 1013904223) >>> 0) as [number, number, number, number];
  const mix = () => {
    v[0] = (v[0] + Math.imul(v[1], v[3])) >>> 0;
    v[1] = (v[1] + Math.imul(v[2], v[0])) >>> 0;
    v[2] = (v[2] + Math.imul(v[0], v[1])) >>> 0;
    v[3] = (v[3] + Math.imul(v[1], v[2])) >>> 0;
  };
  mix();
  for (const i of [0, 1, 2, 3]) v[i] = (v[i] ^ (v[i] >>> 16)) >>> 0;
  mix();
  return v;
}

interface Key {
  seed: number;
  step: number;
  layer: number;
}

/** What each of `count` values is multiplied by: 0, or 1 / (1 − rate). */
function mask(count: number, rate: number, { seed, step, layer }: Key): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const word = pcg4d([seed, step, layer, Math.floor(i / 4)])[i % 4];
    return word < rate * 2 ** 32 ? 0 : 1 / (1 - rate);
  });
}

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
  for (const { shape, rate, key } of casesFor(
    [
      { shape: [4], rate: 0, key: { seed: 1, step: 0, layer: 0 } },
      { shape: [2, 13, 12], rate: 0, key: { seed: 7, step: 2, layer: 3 } },
      { shape: [3, 7, 20], rate: 0.1, key: { seed: 0xdeadbeef, step: 123456, layer: 6 } },
      { shape: [1, 7, 64], rate: 0.5, key: { seed: 0, step: 0, layer: 0 } },
    ],
    2,
  )) {
    it(`[${shape}] at a rate of ${rate}: values, and the gradient against finite differences`, async () => {
      const count = shape.reduce((n, size) => n * size, 1);
      const random = new Random(count);
      const x = random.floats(count, -5, 5);
      x.set([0, -9, 9]);
      const dy = random.floats(count);
      const got = await evaluate(gpu(), (bench) => {
        const { graph } = bench;
        const input = bench.input(shape, x);
        const seed = bench.input([2], Uint32Array.of(key.seed, key.step));
        const y = graph.apply(geluDropoutOp, { x: input, seed }, { rate, layer: key.layer })[0];
        const [dx] = differentiate(graph, y, bench.input(shape, dy), [input], addTo) as [Tensor];
        return { y, dx };
      });
      const factors = mask(count, rate, key);
      const reference = (values: ArrayLike<number>) => Float64Array.from(values, (v, i) => gelu(v) * factors[i]);
      expectClose(got.y, reference(x), 1e-6);
      expectClose(got.dx, finiteDifferences(reference, [x], 0, dy), 1e-6);
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

  it("lets gradients through where values went through", async () => {
    const count = 4096;
    const attrs = { rate: 0.3, layer: 4 };
    const { y, dx } = await evaluate(gpu(), (bench) => {
      const x = bench.input([count], new Float32Array(count).fill(8));
      const seed = bench.input([2], Uint32Array.of(3, 17));
      const dy = bench.input([count], new Float32Array(count).fill(8));
      return {
        y: bench.graph.apply(geluDropoutOp, { x, seed }, attrs)[0],
        dx: bench.graph.apply(geluDropoutBackwardOp, { x, seed, dy }, attrs)[0],
      };
    });
    expectClose(dx, y, 1e-6);
    expect(Array.from(y).filter((v) => v === 0).length).toBeGreaterThan(0.25 * count);
    expect(Array.from(dx, (v) => v === 0)).toEqual(Array.from(y, (v) => v === 0));
  });

  it("refuses a number of values that is not a multiple of 4, and a rate of 1", () => {
    const f = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const seed = { shape: [2], dtype: "u32" as const };
    expect(() => geluDropoutOp.outputs({ x: f(3, 5), seed }, { rate: 0, layer: 0 })).toThrow("not a multiple of 4");
    expect(() => geluDropoutOp.outputs({ x: f(4), seed }, { rate: 1, layer: 0 })).toThrow("dropout at a rate of 1");
  });
});
