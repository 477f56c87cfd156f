import { expect, it } from "vitest";
import { Program } from "../../src/graph/program.js";
import { adamWOp } from "../../src/ops/adamw.js";
import { nonFiniteOp } from "../../src/ops/non_finite.js";
import { updateScalerOp } from "../../src/ops/update_scaler.js";
import { Bench, useGpu } from "../support/gpu.js";

const gpu = useGpu();

it("halves the scale and leaves the step out, doubles it after good steps, and corrects for the steps that were made", async () => {
  const bench = new Bench(gpu());
  const { graph } = bench;
  const n = 5;
  const scaler = bench.state([4], Float32Array.of(2 ** 24, 0, 0, 0));
  const [parameters, gradients, m, v] = ["p", "g", "m", "v"].map((name) => graph.state(name, [n], "f32"));
  const [decays, plain] = ["decays", "plain"].map((name) => graph.input(name, [8], "f32"));
  const [found] = graph.apply(nonFiniteOp, { gradients }, {});
  const inputs = { scaler, found, decays, plain };
  const [, scaledDecays, scaledPlain] = graph.apply(updateScalerOp, inputs, { interval: 3 });
  graph.apply(adamWOp, { parameters, gradients, m, v, hyper: scaledPlain }, {});
  graph.output("decays", scaledDecays);
  graph.output("plain", scaledPlain);
  const program = await Program.compile(gpu(), graph);
  try {
    bench.fill(program);
    // The step number from the host does not count.
    program.write(decays, Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0.05, 7, 7, 0.5));
    program.write(plain, Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0, 7, 7, 0.5));
    const overflows = [true, false, false, true, false, false, false, false, false, false, false, false, false];
    let [scale, good, made] = [2 ** 24, 0, 0];
    const start = [0.5, -1, 2, 0, 1];
    let before = start;
    program.write(parameters, Float32Array.from(start));
    for (const overflow of overflows) {
      program.write(gradients, Float32Array.of(1, -2, overflow ? Number.NaN : 3, 0, 5));
      const results = await program.run();
      const undo = overflow ? 0 : 0.5 / scale;
      if (overflow) [scale, good] = [scale / 2, 0];
      else if (++good === 3) [scale, good] = [Math.min(2 ** 24, 2 * scale), 0];
      made += overflow ? 0 : 1;
      const [first, second] = [1 - 0.9 ** made, Math.sqrt(1 - 0.95 ** made)];
      const state = (await program.read(scaler)) as Float32Array;
      expect([...state.subarray(0, 2)]).toEqual([scale, good]);
      for (const [name, decay] of [
        ["decays", 0.05],
        ["plain", 0],
      ] as const) {
        const wanted = [1e-3, 0.9, 0.95, 1e-8, decay, first, second, undo];
        for (const [i, value] of wanted.entries()) {
          expect(Math.abs(results[name][i] - value), `${name} ${i}`).toBeLessThanOrEqual(1e-6 * value);
        }
      }
      const after = [...(await program.read(parameters))];
      expect(after.every(Number.isFinite)).toBe(true);
      expect(after.every((value, i) => value === before[i])).toBe(overflow);
      expect([...(await program.read(gradients))]).toEqual([0, 0, 0, 0, 0]);
      before = after;
    }
    // Halved twice, doubled twice, but not a third time.
    expect(scale).toBe(2 ** 24);
    expect(made).toBe(11);
    // A scale of 1 is not halved.
    program.write(scaler, Float32Array.of(1, 0, 0, 0));
    program.write(gradients, new Float32Array(n).fill(Number.POSITIVE_INFINITY));
    await program.run();
    expect((await program.read(scaler))[0]).toBe(1);
  } finally {
    program.close();
  }
});
