// Thorough tuning: measures every kernel variant of every call of a graph.
import { GpuError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import type { Node } from "../graph/graph.js";
import { CallBench, type TunableCall, tunableCalls } from "./call_bench.js";

/** The measurement of a variant. */
export interface Measured {
  name: string;
  /** The shortest time of a run, in milliseconds. */
  ms: number;
  /** Why it cannot be used: its result is wrong, or it does not run. */
  fault?: string;
}

/** The measurements of a call. */
export interface TunedCall {
  /** Its key in tuning tables. */
  key: string;
  /** The default first. */
  variants: Measured[];
  /** See {@link fastest}. */
  best: string;
  /** How often it occurs in the graph. */
  count: number;
}

/** Options of {@link tune}. */
export interface TuneOptions {
  /** Calls that need no measurement: names of variants by key. Unknown names are ignored. */
  known?: ReadonlyMap<string, string>;
  /** Called after each call, with the number of calls. */
  onCall?: (call: TunedCall, total: number) => void;
  signal?: AbortSignal;
}

/** How thoroughly variants are timed. */
export interface Timing {
  /** Measurements per variant; variants take turns. */
  rounds: number;
  msPerMeasurement: number;
}

const thorough: Timing = { rounds: 8, msPerMeasurement: 20 };
/** The most steps per measurement. */
const mostSteps = 256;
/** How many times as fast as the default another variant must be: less may be noise. */
const clearly = 1.05;

/**
 * Measures every variant of every call of a graph, on random values.
 * @throws GpuError if the device fails or every variant of a call is wrong, the signal's reason
 */
export async function tune(gpu: Gpu, nodes: readonly Node[], options: TuneOptions = {}): Promise<TunedCall[]> {
  const calls = tunableCalls(gpu, nodes, options.known);
  const tuned: TunedCall[] = [];
  for (const tunable of calls) {
    options.signal?.throwIfAborted();
    const { key, count } = tunable;
    const variants = await measureVariants(gpu, tunable);
    const call = { key, variants, best: fastest(variants), count };
    tuned.push(call);
    options.onCall?.(call, calls.length);
  }
  return tuned;
}

/**
 * The name of the fastest right variant, of which there is at least one. The default wins unless
 * another one is clearly faster.
 * @param variants the default first
 */
export function fastest(variants: readonly Measured[]): string {
  const right = variants.filter(({ fault }) => fault === undefined);
  const best = right.reduce((a, b) => (b.ms < a.ms ? b : a), right[0]);
  const [usual] = variants;
  return usual.fault === undefined && usual.ms < clearly * best.ms ? usual.name : best.name;
}

async function measureVariants(gpu: Gpu, call: TunableCall): Promise<Measured[]> {
  const bench = new CallBench(gpu, call);
  try {
    const measured: Measured[] = call.names.map((name) => ({ name, ms: Number.POSITIVE_INFINITY }));
    const plainestFirst = [...measured].sort(
      (a, b) => Number(b.name === bench.plainest) - Number(a.name === bench.plainest),
    );
    for (const variant of plainestFirst) {
      const fault = await bench.check(variant.name);
      if (fault !== undefined) variant.fault = fault;
    }
    await timeVariants(bench, measured, thorough);
    const [usual] = measured;
    if (measured.every(({ fault }) => fault !== undefined)) {
      throw new GpuError(
        `adapter "${gpu.adapter.description}" computes ${call.key} wrongly ("${usual.name}": ${usual.fault})`,
      );
    }
    return measured;
  } finally {
    await bench.close();
  }
}

/** Times the variants that have no fault, in turns. */
export async function timeVariants(
  bench: CallBench,
  measured: readonly Measured[],
  { rounds, msPerMeasurement }: Timing,
): Promise<void> {
  const right = measured.filter(({ fault }) => fault === undefined);
  const steps = new Map<Measured, number>();
  for (const variant of right) {
    const once = await bench.stepMs(variant.name, 1);
    steps.set(variant, Math.max(1, Math.min(mostSteps, Math.round(msPerMeasurement / once))));
  }
  for (let round = 0; round < rounds; round++) {
    for (const variant of right) {
      variant.ms = Math.min(variant.ms, await bench.stepMs(variant.name, steps.get(variant)!));
    }
  }
}
