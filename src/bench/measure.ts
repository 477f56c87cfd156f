// Measures rates, and prints them.
import type { Gpu } from "../gpu/gpu.js";
import { Graph } from "../graph/graph.js";
import { Program } from "../graph/program.js";
import { linearOp, linearWeights } from "../ops/linear.js";
import { uniformGenerator } from "../random.js";

/** Units per second over repeated measurements. */
export interface Rate {
  median: number;
  min: number;
  max: number;
  measurements: number;
}

/** A rate in four digits; from a thousand on without decimals or exponent. */
export function rateDigits(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

/** A rate in words. */
export function shownRate({ median, min, max, measurements }: Rate, units: string): string {
  return `${rateDigits(median)} ${units}/s (${rateDigits(min)} to ${rateDigits(max)} in ${measurements} measurements)`;
}

/** Seconds that `steps` steps take. */
export async function timed(program: Program, steps: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < steps; i++) program.submit();
  await program.finish();
  return (performance.now() - start) / 1000;
}

/** Median and range. @param rates at least one; sorted in place */
export function summary(rates: number[]): Rate {
  rates.sort((a, b) => a - b);
  return {
    median: rates[rates.length >> 1],
    min: rates[0],
    max: rates.at(-1) as number,
    measurements: rates.length,
  };
}

/**
 * Units per second: after a warm-up, repeats measurements of about 0.1 s (at least one step) for
 * the given time.
 * @param run runs some steps, and returns the seconds that they took
 */
export async function measure(
  seconds: number,
  unitsPerStep: number,
  run: (steps: number) => Promise<number>,
): Promise<Rate> {
  return summary(await measureRates(seconds, unitsPerStep, run));
}

/**
 * The measurements of {@link measure}, in units per second, in the order in which they were made.
 */
export async function measureRates(
  seconds: number,
  unitsPerStep: number,
  run: (steps: number) => Promise<number>,
): Promise<number[]> {
  await run(1);
  const one = await run(1);
  const steps = Math.max(1, Math.min(1000, Math.round(0.1 / one)));
  const rates: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (rates.length < 3 || performance.now() < end) rates.push((steps * unitsPerStep) / (await run(steps)));
  return rates;
}

/** The best rate of a matmul alone with the engine's kernel, in GFLOP/s. */
export async function measurePeak(gpu: Gpu, seconds: number): Promise<number> {
  const software = gpu.adapter.kind !== "gpu";
  const [m, k, n] = software ? [1024, 256, 256] : [8192, 1024, 1024];
  const graph = new Graph(gpu);
  const random = uniformGenerator(3);
  const values = (count: number) => Float32Array.from({ length: count }, () => random() - 0.5);
  const x = graph.state("x", [1, m, k], "f32");
  const { weight, bias } = linearWeights(graph, "matmul", [{ weight: values(n * k), bias: values(n) }]);
  const [y] = graph.apply(linearOp, { x, weight, bias }, {});
  graph.output("y", y);
  const program = await Program.compile(gpu, graph, 1);
  try {
    program.write(x, values(m * k));
    const rate = await measure(seconds, 1, (steps) => timed(program, steps));
    return (rate.max * program.cost.flops) / 1e9;
  } finally {
    program.close();
  }
}
