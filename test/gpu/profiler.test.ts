import { describe, expect, it } from "vitest";
import { Profiler } from "../../src/gpu/profiler.js";
import type { Tensor } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { linearOp, linearWeights } from "../../src/ops/linear.js";
import { Bench, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

async function repeat<T>(times: number, once: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  while (results.length < times) results.push(await once());
  return results;
}

describe("profiler", () => {
  const gpu = useGpu();

  it("gives each node a time, its work, and a longer one to more work", async () => {
    if (!Profiler.available(gpu())) return;
    const random = new Random(1);
    const bench = new Bench(gpu());
    const [small, large] = [16, 512].map((m) => {
      const k = 128;
      const layer = { weight: random.floats(k * k), bias: random.floats(k) };
      const weights = linearWeights(bench.graph, `layer ${m}`, [layer]);
      const x = bench.input([1, m, k], random.floats(m * k));
      return bench.graph.scope(`of ${m}`, () => bench.graph.apply(linearOp, { x, ...weights }, {})[0]);
    }) as [Tensor, Tensor];
    bench.graph.output("small", small);
    bench.graph.output("large", large);
    const program = await Program.compile(gpu(), bench.graph);
    try {
      bench.fill(program);
      await program.run();
      const before = gpu().allocatedBytes;
      const profiles = await program.profile();
      const steps = await program.time(3);
      expect(steps).toHaveLength(3);
      for (const ms of steps) expect(ms).toBeGreaterThan(0);
      expect(gpu().allocatedBytes).toBe(before);
      expect(profiles.map((p) => p.name)).toEqual(["of 16.linear", "of 512.linear"]);
      expect(profiles.map((p) => p.op)).toEqual(["linear", "linear"]);
      expect(profiles.map((p) => p.dispatches)).toEqual([1, 1]);
      expect(profiles.map((p) => p.flops)).toEqual([2 * 16 * 128 * 128, 2 * 512 * 128 * 128]);
      for (const p of profiles) {
        expect(p.ms).toBeGreaterThan(0);
        expect(p.ms).toBeLessThan(60_000);
        expect(p.bytes).toBeGreaterThan(4 * 128 * 128);
      }
      // The shortest of several, since another process may take the cores away in the midst of one.
      const again = await repeat(5, () => program.profile());
      const [little, much] = [0, 1].map((i) => Math.min(...again.map((p) => p[i].ms)));
      expect(much).toBeGreaterThan(little);
      expect(program.cost.flops).toBe(profiles[0].flops + profiles[1].flops);
    } finally {
      program.close();
    }
  });

  it("refuses more passes than it has queries for", () => {
    if (!Profiler.available(gpu())) return;
    const profiler = new Profiler(gpu(), 1);
    const encoder = gpu().device.createCommandEncoder();
    profiler.beginPass(encoder, "one").end();
    expect(() => profiler.beginPass(encoder, "two")).toThrow("the profiler holds 1 passes");
    profiler.close();
  });
});
