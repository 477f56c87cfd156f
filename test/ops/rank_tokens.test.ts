import { describe, expect, it } from "vitest";
import { rankTokensOp } from "../../src/ops/rank_tokens.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";
import { rank } from "../support/reference.js";

const gpu = useGpu();

describe("ranking tokens", () => {
  async function check(keys: readonly Float32Array[], keep: number): Promise<void> {
    const tokens = keys[0].length;
    const { idsRestore, idsKeep } = await evaluate(gpu(), (bench) => {
      const input = bench.input([keys.length, tokens], Float32Array.from(keys.flatMap((k) => [...k])));
      const [restore, kept] = bench.graph.apply(rankTokensOp, { keys: input }, { keep });
      return { idsRestore: restore, idsKeep: kept };
    });
    const want = keys.map(rank);
    expect(Array.from(idsRestore)).toEqual(want.flatMap((w) => w.idsRestore));
    expect(Array.from(idsKeep)).toEqual(want.flatMap((w) => w.idsShuffle.slice(0, keep)));
  }

  for (const { batch, tokens, keep } of casesFor(
    [
      { batch: 1, tokens: 1, keep: 1 },
      { batch: 3, tokens: 24, keep: 12 },
      { batch: 2, tokens: 33, keep: 33 },
      { batch: 1, tokens: 101, keep: 25 },
      { batch: 2, tokens: 800, keep: 400 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${keep} of ${tokens}`, () => {
      const random = new Random(tokens);
      return check(
        Array.from({ length: batch }, () => random.floats(tokens, 0, 1)),
        keep,
      );
    });
  }

  it("keeps the order of equal keys", async () => {
    const random = new Random(5);
    const few = Array.from({ length: 3 }, () => Float32Array.from({ length: 50 }, () => random.integer(4)));
    await check(few, 25);
    await check([new Float32Array(65)], 32);
  });

  it("refuses to keep no tokens, or more than there are", () => {
    const keys = { shape: [1, 8], dtype: "f32" as const };
    expect(() => rankTokensOp.outputs({ keys }, { keep: 0 })).toThrow("0 of 8 tokens cannot be kept");
    expect(() => rankTokensOp.outputs({ keys }, { keep: 9 })).toThrow("9 of 8 tokens cannot be kept");
  });
});
