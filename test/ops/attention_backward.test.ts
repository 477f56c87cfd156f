import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { attentionOp } from "../../src/ops/attention.js";
import { attentionBackwardOp } from "../../src/ops/attention_backward.js";
import { finiteDifferences, neverAdded } from "../support/finite_differences.js";
import { casesFor, evaluateOne, f32, testAdapter, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention } from "../support/reference.js";
import { asOnGpu } from "../support/variants.js";

interface Sizes {
  batch: number;
  tokens: number;
  width: number;
  heads: number;
}

describe("attention's gradient", () => {
  const gpu = useGpu();

  function prepare({ batch, tokens, width }: Sizes, spread: number) {
    const random = new Random(tokens + width);
    const plane = batch * tokens * width;
    const qkv = random.floats(3 * plane);
    for (let i = 0; i < plane; i++) qkv[i] *= spread;
    return { qkv, dy: random.floats(plane) };
  }

  /** By autodiff. */
  function evaluateGradient(sizes: Sizes, { qkv, dy }: ReturnType<typeof prepare>) {
    const { batch, tokens, width, heads } = sizes;
    return evaluateOne(gpu(), (bench) => {
      const x = bench.input([3, batch, tokens, width], qkv);
      const seed = bench.input([batch, tokens, width], dy);
      const [y] = bench.graph.apply(attentionOp, { qkv: x }, { heads });
      return differentiate(bench.graph, y, seed, [x], neverAdded)[0] as Tensor;
    });
  }

  const small: Sizes[] = [
    { batch: 1, tokens: 1, width: 4, heads: 1 },
    { batch: 2, tokens: 9, width: 16, heads: 4 },
    { batch: 1, tokens: 11, width: 40, heads: 2 },
  ];
  for (const sizes of casesFor(small, 1)) {
    const { batch, tokens, width, heads } = sizes;
    it(`batch ${batch}, ${tokens} tokens of ${width}, ${heads} heads, by finite differences`, async () => {
      const values = prepare(sizes, 2);
      const reference = (x: Float64Array) => {
        const [q, k, v] = planes(x);
        return attention(q, k, v, sizes);
      };
      const want = finiteDifferences(reference, [values.qkv], 0, values.dy, 1e-4);
      expectClose(await evaluateGradient(sizes, values), want, 1e-6);
    });
  }

  it("the closed form in float64 has the gradient that finite differences give", () => {
    const sizes = { batch: 2, tokens: 5, width: 16, heads: 2 };
    const { qkv, dy } = prepare(sizes, 2);
    const reference = (x: Float64Array) => attention(...planes(x), sizes);
    expectClose(closedForm(qkv, dy, sizes), finiteDifferences(reference, [qkv], 0, dy, 1e-4), 1e-7);
  });

  const large: (Sizes & { spread: number })[] = [
    { batch: 1, tokens: 41, width: 64, heads: 1, spread: 1 },
    { batch: 1, tokens: 40, width: 32, heads: 4, spread: 100 },
    { batch: 1, tokens: 75, width: 32, heads: 2, spread: 3 },
    { batch: 2, tokens: 101, width: 64, heads: 2, spread: 2 },
  ];
  for (const { spread, ...sizes } of casesFor(large, 4)) {
    const { batch, tokens, width, heads } = sizes;
    it(`batch ${batch}, ${tokens} tokens of ${width}, ${heads} heads, queries up to ${spread}`, async () => {
      const values = prepare(sizes, spread);
      const want = closedForm(values.qkv, values.dy, sizes);
      // Scores of hundreds leave their rounding in the shares.
      expectClose(await evaluateGradient(sizes, values), want, spread > 10 ? 3e-5 : 2e-6);
    });
  }

  // Several blocks of rows and more columns than are staged at a time, the last of each cut short;
  // wide heads and narrow ones. lavapipe takes a minute to compile it.
  it.skipIf(testAdapter === "lavapipe").each([40, 24])("as on a GPU, heads of %i", async (headWidth) => {
    const sizes = { batch: 2, tokens: 37, width: 2 * headWidth, heads: 2 };
    const { batch, tokens, width, heads } = sizes;
    const values = prepare(sizes, 2);
    const got = await evaluateOne(gpu(), (bench) => {
      const qkv = bench.input([3, batch, tokens, width], values.qkv);
      const [y] = bench.graph.apply(attentionOp, { qkv }, { heads });
      const inputs = { qkv, y, dy: bench.input(y.shape, values.dy) };
      return bench.graph.apply(asOnGpu(attentionBackwardOp), inputs, { heads })[0];
    });
    expectClose(got, closedForm(values.qkv, values.dy, sizes), 2e-6);
  });

  it("refuses what does not fit", () => {
    const outputs = (heads: number, qkv: number[], y: number[], dy: number[]) =>
      attentionBackwardOp.outputs({ qkv: f32(...qkv), y: f32(...y), dy: f32(...dy) }, { heads });
    expect(() => outputs(4, [3, 1, 5, 40], [1, 5, 40], [1, 5, 40])).toThrow("width 40 does not divide into 4 heads");
    expect(() => outputs(2, [3, 1, 5, 40], [1, 5, 40], [1, 5, 20])).toThrow("dy has the shape [1,5,20], not [1,5,40]");
  });
});

function planes<T extends Float32Array | Float64Array>(qkv: T): [T, T, T] {
  const size = qkv.length / 3;
  return [0, 1, 2].map((i) => qkv.subarray(i * size, (i + 1) * size)) as [T, T, T];
}

/** dq, dk, dv of softmax(q kᵀ) v by the chain rule, in float64, with whole score matrices. */
function closedForm(qkv: Float32Array, dy: Float32Array, { batch, tokens, width, heads }: Sizes): Float64Array {
  const [q, k, v] = planes(qkv);
  const headWidth = width / heads;
  const result = new Float64Array(qkv.length);
  const [dq, dk, dv] = planes(result);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const at = (token: number) => (b * tokens + token) * width + h * headWidth;
      const dot = (x: Float32Array, i: number, y: Float32Array, j: number) => {
        let sum = 0;
        for (let d = 0; d < headWidth; d++) sum += x[at(i) + d] * y[at(j) + d];
        return sum;
      };
      for (let i = 0; i < tokens; i++) {
        const scores = Array.from({ length: tokens }, (_, j) => dot(q, i, k, j));
        const largest = Math.max(...scores);
        const exponentials = scores.map((score) => Math.exp(score - largest));
        const total = exponentials.reduce((a, e) => a + e, 0);
        const shares = exponentials.map((e) => e / total);
        const dShares = shares.map((_, j) => dot(dy, i, v, j));
        const mean = shares.reduce((a, share, j) => a + share * dShares[j], 0);
        for (const [j, share] of shares.entries()) {
          const dScore = share * (dShares[j] - mean);
          for (let d = 0; d < headWidth; d++) {
            dq[at(i) + d] += dScore * k[at(j) + d];
            dk[at(j) + d] += dScore * q[at(i) + d];
            dv[at(j) + d] += share * dy[at(i) + d];
          }
        }
      }
    }
  }
  return result;
}
