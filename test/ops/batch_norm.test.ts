import { describe, expect, it } from "vitest";
import { Program } from "../../src/graph/program.js";
import { batchNormOp } from "../../src/ops/batch_norm.js";
import {
  type BatchNormSizes,
  batchNorm,
  batchNormAttrs,
  batchNormCases,
  batchNormInputs,
  manyTokens,
  randomBatchNorm,
} from "../support/batch_norm.js";
import { Bench, casesFor, evaluate, f32, useGpu } from "../support/gpu.js";
import { expectClose } from "../support/numbers.js";

describe("batch norm of the projections in training", () => {
  const gpu = useGpu();

  /** The result and the running statistics afterwards. */
  function run(sizes: BatchNormSizes, values: ReturnType<typeof randomBatchNorm>) {
    return evaluate(gpu(), (bench) => {
      const inputs = batchNormInputs(bench, sizes, values);
      const [y, , updated] = bench.graph.apply(batchNormOp, inputs, batchNormAttrs);
      return { y, updated };
    });
  }

  for (const sizes of casesFor(batchNormCases)) {
    it(`batch ${sizes.batch}, ${sizes.tokens} tokens of ${sizes.width}`, async () => {
      const values = randomBatchNorm(sizes);
      const got = await run(sizes, values);
      const want = batchNorm(values.x, values.gamma, values.beta, sizes);
      expectClose(got.y, want.y, 2e-6);
      const running = [...want.mean, ...want.unbiased].map((v, i) => 0.9 * values.running[i] + 0.1 * v);
      expectClose(got.updated, running, 1e-6);
    });
  }

  it("many tokens: several chunks of uneven size, the mean far from zero", async () => {
    const values = randomBatchNorm(manyTokens, 99, 101);
    const got = await run(manyTokens, values);
    const want = batchNorm(values.x, values.gamma, values.beta, manyTokens);
    expectClose(got.y, want.y, 1e-5);
    const running = [...want.mean, ...want.unbiased].map((v, i) => 0.9 * values.running[i] + 0.1 * v);
    const updated = got.updated as Float32Array;
    expectClose(updated.subarray(0, 12), running.slice(0, 12), 1e-6);
    expectClose(updated.subarray(12), running.slice(12), 1e-6);
  });

  it("updates running statistics inside a larger state, step by step, with the same bits each time", async () => {
    const sizes = { batch: 2, tokens: 6, width: 8 };
    const { x, gamma, beta, running } = randomBatchNorm(sizes);
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
      bench.graph.output("y", bench.graph.apply(batchNormOp, inputs, batchNormAttrs)[0]);
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
    const weights = { gamma: f32(3, 4), beta: f32(3, 4) };
    const outputs = (x: number[], running: number[]) =>
      batchNormOp.outputs({ x: f32(...x), ...weights, running: f32(...running) }, batchNormAttrs);
    expect(() => outputs([3, 1, 2, 4], [2, 3, 4])).toThrow("a variance needs more than one token");
    expect(() => outputs([3, 1, 5, 4], [3, 4])).toThrow("running statistics has the shape [3,4], not [2,3,4]");
  });
});
