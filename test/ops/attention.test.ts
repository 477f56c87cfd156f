import { describe, expect, it } from "vitest";
import { attentionOp } from "../../src/ops/attention.js";
import { attentionKey, attentionVariants } from "../../src/ops/variants.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention } from "../support/reference.js";
import { choosing } from "../support/variants.js";

function shapeOf({ batch, tokens, width, heads }: { batch: number; tokens: number; width: number; heads: number }) {
  return { dtype: "f32" as const, samples: batch, tokens, heads, headWidth: width / heads };
}

describe("attention", () => {
  const gpu = useGpu();

  /** @param variant a variant in place of the default */
  async function check(
    sizes: { batch: number; tokens: number; width: number; heads: number },
    spread: number,
    tolerance: number,
    variant?: string,
  ): Promise<void> {
    const { batch, tokens, width, heads } = sizes;
    const target = variant === undefined ? gpu() : choosing(gpu(), attentionKey(shapeOf(sizes)), variant);
    const op: typeof attentionOp = { ...attentionOp, kernels: (call) => attentionOp.kernels(call, target) };
    const random = new Random(tokens + width);
    const plane = batch * tokens * width;
    const qkv = random.floats(3 * plane);
    for (let i = 0; i < plane; i++) qkv[i] *= spread;
    const got = await evaluateOne(gpu(), (bench) => {
      const input = bench.input([3, batch, tokens, width], qkv);
      return bench.graph.apply(op, { qkv: input }, { heads })[0];
    });
    const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray(i * plane, (i + 1) * plane)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    expectClose(got, attention(q, k, v, sizes), tolerance);
  }

  for (const sizes of casesFor(
    [
      { batch: 1, tokens: 1, width: 16, heads: 4 },
      { batch: 2, tokens: 13, width: 32, heads: 4 },
      { batch: 3, tokens: 25, width: 16, heads: 4 },
      { batch: 2, tokens: 33, width: 16, heads: 1 },
      { batch: 1, tokens: 101, width: 128, heads: 4 },
      { batch: 1, tokens: 65, width: 256, heads: 4 },
      { batch: 1, tokens: 401, width: 64, heads: 4 },
      { batch: 1, tokens: 128, width: 48, heads: 2 },
      { batch: 2, tokens: 64, width: 64, heads: 8 },
    ],
    2,
  )) {
    it(`batch ${sizes.batch}, ${sizes.tokens} tokens of ${sizes.width}, ${sizes.heads} heads`, () =>
      check(sizes, 1, 3e-6));
  }

  // Heads of 16, 48 and 64; numbers of keys that are not multiples of a block or a turn.
  for (const sizes of casesFor(
    [
      { batch: 1, tokens: 67, width: 96, heads: 2 },
      { batch: 2, tokens: 130, width: 32, heads: 2 },
      { batch: 1, tokens: 35, width: 128, heads: 2 },
    ],
    3,
  )) {
    it(`${sizes.tokens} tokens, heads of ${sizes.width / sizes.heads}, with every variant of the adapter`, async () => {
      const names = [...attentionVariants(gpu(), shapeOf(sizes)).keys()];
      expect(names).toContain("plain");
      for (const name of names) if (!/^(matrix|split)/.test(name)) await check(sizes, 2, 5e-6, name);
    });
  }

  it("survives scores so far apart that all but one share vanish", () =>
    check({ batch: 1, tokens: 40, width: 32, heads: 4 }, 100, 3e-5));

  it("takes the mean if all scores are equal", async () => {
    const [tokens, width] = [37, 16];
    const v = new Random(1).floats(tokens * width);
    const got = await evaluateOne(gpu(), (bench) => {
      const qkv = bench.input([3, 1, tokens, width], Float32Array.of(...new Float32Array(2 * tokens * width), ...v));
      return bench.graph.apply(attentionOp, { qkv }, { heads: 4 })[0];
    });
    const want = Array.from({ length: tokens * width }, (_, i) => {
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += v[t * width + (i % width)];
      return sum / tokens;
    });
    expectClose(got, want, 3e-6);
  });

  it("refuses a width that the heads do not divide", () => {
    const qkv = { shape: [3, 1, 5, 40], dtype: "f32" as const };
    expect(() => attentionOp.outputs({ qkv }, { heads: 4 })).toThrow("width 40 does not divide into 4 heads");
  });
});
