import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { attentionOp } from "../../src/ops/attention.js";
import { type AttentionShape, attentionKey, attentionVariants } from "../../src/ops/variants.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention } from "../support/reference.js";
import { gpuTarget, onTarget } from "../support/variants.js";

/** The adapter of the tests, which would choose other variants. */
const gpu = useGpu();

async function checkAttention(sizes: Omit<AttentionShape, "dtype">, spread: number, variant: string) {
  const { samples, tokens, heads, headWidth } = sizes;
  const width = heads * headWidth;
  const shape: AttentionShape = { dtype: "f32", ...sizes };
  const target = gpuTarget(gpu(), 8, [attentionKey(shape), variant]);
  expect([...attentionVariants(target, shape).keys()]).toContain(variant);
  const random = new Random(tokens + width);
  const plane = samples * tokens * width;
  const qkv = random.floats(3 * plane);
  for (let i = 0; i < plane; i++) qkv[i] *= spread;
  let y: Tensor | undefined;
  const results = await evaluate(gpu(), (bench) => {
    const input = bench.input([3, samples, tokens, width], qkv);
    [y] = bench.graph.apply(onTarget(attentionOp, target, "attention (tiled)"), { qkv: input }, { heads });
    return { y };
  });
  const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray(i * plane, (i + 1) * plane)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const want = attention(q, k, v, { batch: samples, tokens, width, heads });
  expectClose(floatsOf(results.y, y as Tensor), want, spread > 1 ? 3e-5 : 3e-6);
}

describe("attention, tiled", () => {
  // Its shuffles reach 8 lanes, which lavapipe's subgroups have.
  for (const [sizes, spread, variant] of casesFor(
    [
      [{ samples: 2, tokens: 37, heads: 2, headWidth: 32 }, 1, "tiled 16x32 by 64"],
      [{ samples: 1, tokens: 101, heads: 1, headWidth: 64 }, 1, "tiled 16x32 by 64"],
      [{ samples: 1, tokens: 70, heads: 2, headWidth: 32 }, 60, "tiled 16x32 by 32"],
    ] as const,
    1,
  )) {
    const name = `${sizes.samples}×${sizes.tokens} tokens, ${sizes.heads} heads of ${sizes.headWidth}, scores times ${spread}`;
    it(name, { timeout: 240_000 }, async ({ skip }) => {
      if (gpu().adapter.subgroupSize !== 8) skip(`subgroups of ${gpu().adapter.subgroupSize}`);
      await checkAttention(sizes, spread, variant);
    });
  }
});
