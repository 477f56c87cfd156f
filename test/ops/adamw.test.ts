import { describe, expect, it } from "vitest";
import { Program } from "../../src/graph/program.js";
import { adamWOp } from "../../src/ops/adamw.js";
import { Bench, f32, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";

const gpu = useGpu();

interface Settings {
  rate: number;
  betas: readonly [number, number];
  epsilon: number;
  decay: number;
  scale: number;
}

function hyper({ rate, betas, epsilon, decay, scale }: Settings, t: number): Float32Array<ArrayBuffer> {
  const [first, second] = betas.map((beta) => 1 - beta ** t) as [number, number];
  return Float32Array.of(rate, ...betas, epsilon, decay, first, Math.sqrt(second), scale);
}

/**
 * Parameters, gradients and moments after each step, on slices of states: from element 64 on, with
 * `margin` elements behind them.
 */
async function onGpu(
  start: ArrayLike<number>,
  gradients: readonly ArrayLike<number>[],
  settings: Settings,
  margin = 3,
) {
  const n = start.length;
  const bench = new Bench(gpu());
  const { graph } = bench;
  const flat = ["parameters", "gradients", "m", "v"].map((name) => graph.state(name, [64 + n + margin], "f32"));
  const slices = flat.map((tensor) => graph.slice(`${tensor.name} slice`, tensor, 64, [n]));
  const numbers = graph.input("hyper", [8], "f32");
  const [parameters, gradient, m, v] = slices;
  graph.apply(adamWOp, { parameters, gradients: gradient, m, v, hyper: numbers }, {});
  const program = await Program.compile(gpu(), graph);
  try {
    const filled = new Float32Array(64 + n + margin).fill(7);
    program.write(flat[0], filled);
    program.write(slices[0], Float32Array.from(start));
    program.write(flat[1], filled);
    const steps = [];
    for (const [i, gradient] of gradients.entries()) {
      program.write(slices[1], Float32Array.from(gradient));
      program.write(numbers, hyper(settings, i + 1));
      program.submit();
      const [p, g, m, v] = (await Promise.all(flat.map((tensor) => program.read(tensor)))) as Float32Array[];
      for (const beside of [p, g]) {
        expect([...beside.subarray(0, 64), ...beside.subarray(64 + n)].every((value) => value === 7)).toBe(true);
      }
      const [parameters, left, first, second] = [p, g, m, v].map((own) => own.slice(64, 64 + n));
      steps.push({ parameters: parameters, gradients: left, m: first, v: second });
    }
    return steps;
  } finally {
    program.close();
  }
}

describe("AdamW", () => {
  it("makes the steps that PyTorch makes", async () => {
    // torch.optim.AdamW in float64, lr 0.01, betas (0.9, 0.95), eps 1e-8, weight decay 0.05.
    const start = [0.5, -0.25, 1.5, 0, -2];
    const gradients = [
      [0.1, -0.2, 0.3, 1e-6, 0],
      [0.05, 0.25, -0.3, 2e-6, -1.5],
      [-0.4, 0.125, 0.75, -1e-6, 2],
    ];
    const parameters = [
      [0.489750001, -0.2398750005, 1.4892500003333333, -0.009900990099009901, -1.999],
      [0.48011219651393416, -0.24137791417639753, 1.4890316911050965, -0.019416145741140464, -1.9906509000453851],
      [0.4839968053254793, -0.2447723790340214, 1.4830106132072316, -0.023578741984078784, -1.9912907379165734],
    ];
    const m = [-0.0274, 0.0188, 0.0723, 1.61e-7, 0.065];
    const v = [0.00857, 0.005555, 0.03646125, 2.85125e-13, 0.306875];
    const settings = { rate: 0.01, betas: [0.9, 0.95] as const, epsilon: 1e-8, decay: 0.05, scale: 1 };
    const steps = await onGpu(start, gradients, settings);
    for (const [i, step] of steps.entries()) {
      expectClose(step.parameters, parameters[i], 1e-6);
      expect(step.gradients.every((g) => g === 0)).toBe(true);
    }
    for (const [got, want] of [
      [steps[2].m, m],
      [steps[2].v, v],
      [steps[2].parameters.map((p, i) => p - start[i]), parameters[2].map((p, i) => p - start[i])],
    ] as const) {
      // One by one: they differ by orders of magnitude.
      for (const [i, value] of want.entries()) expect(Math.abs(got[i] / value - 1)).toBeLessThan(1e-4);
    }
  });

  it("follows the formula over many steps and elements, gradients scaled", async () => {
    const n = 1031;
    const random = new Random(4);
    // Small, so that a float's own rounding is small against a step.
    const start = random.floats(n, -0.05, 0.05);
    const gradients = Array.from({ length: 8 }, () => random.floats(n, -64, 64));
    const settings = { rate: 4e-4, betas: [0.9, 0.95] as const, epsilon: 1e-8, decay: 0.05, scale: 1 / 64 };
    const [p, m, v] = [Float64Array.from(start), new Float64Array(n), new Float64Array(n)];
    const steps = await onGpu(start, gradients, settings);
    for (const [i, gradient] of gradients.entries()) {
      const { rate, betas, epsilon, decay, scale } = settings;
      const t = i + 1;
      for (let j = 0; j < n; j++) {
        const g = gradient[j] * scale;
        m[j] = betas[0] * m[j] + (1 - betas[0]) * g;
        v[j] = betas[1] * v[j] + (1 - betas[1]) * g * g;
        const [mean, square] = [m[j] / (1 - betas[0] ** t), v[j] / (1 - betas[1] ** t)];
        p[j] = p[j] * (1 - rate * decay) - (rate * mean) / (Math.sqrt(square) + epsilon);
      }
      expectClose(steps[i].m, m, 1e-6);
      expectClose(steps[i].v, v, 1e-6);
      expectClose(
        steps[i].parameters.map((value, j) => value - start[j]),
        p.map((value, j) => value - start[j]),
        1e-5,
      );
    }
  });

  it("refuses moments of another length", () => {
    const inputs = { parameters: f32(8), gradients: f32(8), m: f32(7), v: f32(8), hyper: f32(8) };
    expect(() => adamWOp.outputs(inputs, {})).toThrow("first moments has the shape [7], not [8]");
  });
});
