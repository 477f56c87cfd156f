import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { batchNormOp } from "../../src/ops/batch_norm.js";
import { batchNormBackwardOp } from "../../src/ops/batch_norm_backward.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { Bench, casesFor, evaluate, useGpu, type Values } from "../support/gpu.js";
import { expectClose, Random, relativeError } from "../support/numbers.js";

const attrs = { epsilon: 1e-5, momentum: 0.1 };

interface Sizes {
  batch: number;
  /** Without the first token. */
  tokens: number;
  width: number;
}

/**
 * BatchNorm2d in training mode of three planes [B, 1 + T, D], without each sample's first token.
 */
function batchNorm(x: ArrayLike<number>, gamma: ArrayLike<number>, beta: ArrayLike<number>, sizes: Sizes) {
  const { batch, tokens, width } = sizes;
  const n = batch * tokens;
  const y = Float64Array.from(x);
  const mean = new Float64Array(3 * width);
  const unbiased = new Float64Array(3 * width);
  for (let p = 0; p < 3; p++) {
    for (let d = 0; d < width; d++) {
      const at = Array.from({ length: n }, (_, i) => {
        const sample = Math.floor(i / tokens);
        return ((p * batch + sample) * (1 + tokens) + 1 + (i % tokens)) * width + d;
      });
      const c = p * width + d;
      for (const i of at) mean[c] += x[i] / n;
      let squares = 0;
      for (const i of at) squares += (x[i] - mean[c]) ** 2;
      unbiased[c] = squares / (n - 1);
      const scale = 1 / Math.sqrt(squares / n + attrs.epsilon);
      for (const i of at) y[i] = (x[i] - mean[c]) * scale * gamma[c] + beta[c];
    }
  }
  return { y, mean, unbiased };
}

function randomValues({ batch, tokens, width }: Sizes, low = -1, high = 3) {
  const random = new Random(batch * 100 + tokens);
  const count = 3 * batch * (1 + tokens) * width;
  return {
    x: random.floats(count, low, high),
    gamma: random.floats(3 * width, 0.5, 2),
    beta: random.floats(3 * width),
    running: random.floats(6 * width, 0.5, 1.5),
    dy: random.floats(count),
  };
}

describe("batch norm of the projections in training", () => {
  const gpu = useGpu();

  /** y, the running statistics, and the gradients of x, gamma and beta. */
  function run({ batch, tokens, width }: Sizes, { x, gamma, beta, running, dy }: Record<string, Values>) {
    return evaluate(gpu(), (bench) => {
      const inputs = {
        x: bench.input([3, batch, 1 + tokens, width], x),
        gamma: bench.input([3, width], gamma),
        beta: bench.input([3, width], beta),
      };
      const state = bench.state([2, 3, width], running);
      const [y, , updated] = bench.graph.apply(batchNormOp, { ...inputs, running: state }, attrs);
      const seed = bench.input([3, batch, 1 + tokens, width], dy);
      const [dx, dgamma, dbeta] = differentiate(bench.graph, y, seed, Object.values(inputs), () => {
        throw new Error("nothing to add");
      }) as [Tensor, Tensor, Tensor];
      return { y, updated, dx, dgamma, dbeta };
    });
  }

  const cases = [
    { batch: 1, tokens: 2, width: 4 },
    { batch: 4, tokens: 12, width: 8 },
    { batch: 3, tokens: 7, width: 20 },
  ];
  for (const sizes of casesFor(cases)) {
    it(`batch ${sizes.batch}, ${sizes.tokens} tokens of ${sizes.width}, and its gradients`, async () => {
      const values = randomValues(sizes);
      const got = await run(sizes, values);
      const { x, gamma, beta, dy } = values;
      const want = batchNorm(x, gamma, beta, sizes);
      expectClose(got.y, want.y, 2e-6);
      const running = [...want.mean, ...want.unbiased].map((v, i) => 0.9 * values.running[i] + 0.1 * v);
      expectClose(got.updated, running, 1e-6);
      const reference = (...[x, gamma, beta]: Float64Array[]) => batchNorm(x, gamma, beta, sizes).y;
      for (const [i, name] of ["dx", "dgamma", "dbeta"].entries()) {
        const differences = finiteDifferences(reference, [x, gamma, beta], i, dy);
        expectClose(got[name], differences, 2e-5);
      }
    });
  }

  it("many tokens: several chunks of uneven size, the mean far from zero", async () => {
    const sizes = { batch: 3, tokens: 1801, width: 4 };
    const values = randomValues(sizes, 99, 101);
    const got = await run(sizes, values);
    const { x, gamma, beta, dy } = values;
    const want = batchNorm(x, gamma, beta, sizes);
    expectClose(got.y, want.y, 1e-5);
    const running = [...want.mean, ...want.unbiased].map((v, i) => 0.9 * values.running[i] + 0.1 * v);
    const updated = got.updated as Float32Array;
    expectClose(updated.subarray(0, 12), running.slice(0, 12), 1e-6);
    expectClose(updated.subarray(12), running.slice(12), 1e-6);
    const weights = (...[gamma, beta]: Float64Array[]) => batchNorm(x, gamma, beta, sizes).y;
    expectClose(got.dgamma, finiteDifferences(weights, [gamma, beta], 0, dy), 1e-5);
    expectClose(got.dbeta, finiteDifferences(weights, [gamma, beta], 1, dy), 1e-5);
    // dx by its slope along one direction, which is not orthogonal to it.
    const direction = dy.map((v, i) => v * (1 + x[i] - 100));
    const along = (s: Float64Array) => {
      const shifted = Float64Array.from(x, (v, i) => v + s[0] * direction[i]);
      return batchNorm(shifted, gamma, beta, sizes).y;
    };
    const dx = got.dx as Float32Array;
    const slope = dx.reduce((sum, v, i) => sum + v * direction[i], 0);
    expect(relativeError([slope], finiteDifferences(along, [[0]], 0, dy))).toBeLessThan(1e-5);
  });

  it("updates running statistics inside a larger state, step by step, with the same bits each time", async () => {
    const sizes = { batch: 2, tokens: 6, width: 8 };
    const { x, gamma, beta, running } = randomValues(sizes);
    const steps = async () => {
      const bench = new Bench(gpu());
      const all = bench.state(
        [192],
        Float32Array.from({ length: 192 }, (_, i) => running[i - 64] ?? 7),
      );
      const state = bench.graph.slice("running", all, 64, [2, 3, 8]);
      const inputs = {
        x: bench.input([3, 2, 7, 8], x),
        gamma: bench.input([3, 8], gamma),
        beta: bench.input([3, 8], beta),
        running: state,
      };
      bench.graph.output("y", bench.graph.apply(batchNormOp, inputs, attrs)[0]);
      const program = await Program.compile(gpu(), bench.graph);
      try {
        bench.fill(program);
        await program.run();
        await program.run();
        return (await program.read(all)) as Float32Array;
      } finally {
        program.close();
      }
    };
    const got = await steps();
    const { mean, unbiased } = batchNorm(x, gamma, beta, sizes);
    const twice = [...mean, ...unbiased].map((v, i) => 0.9 * (0.9 * running[i] + 0.1 * v) + 0.1 * v);
    expectClose(got.subarray(64, 112), twice, 1e-6);
    expect([...got.subarray(0, 64), ...got.subarray(112)].every((v) => v === 7)).toBe(true);
    expect(await steps()).toEqual(got);
  });

  it("refuses shapes that do not fit", () => {
    const spec = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const weights = { gamma: spec(3, 4), beta: spec(3, 4) };
    expect(() => batchNormOp.outputs({ x: spec(3, 1, 2, 4), ...weights, running: spec(2, 3, 4) }, attrs)).toThrow(
      "a variance needs more than one token",
    );
    expect(() => batchNormOp.outputs({ x: spec(3, 1, 5, 4), ...weights, running: spec(3, 4) }, attrs)).toThrow(
      "running statistics has the shape [3,4], not [2,3,4]",
    );
    const backward = { x: spec(3, 1, 5, 4), stats: spec(3, 4), gamma: spec(3, 4), dy: spec(3, 1, 5, 4) };
    expect(() => batchNormBackwardOp.outputs(backward, {})).toThrow("statistics has the shape [3,4], not [3,4,2]");
  });
});
