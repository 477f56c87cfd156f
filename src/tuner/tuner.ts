import { GpuError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import type { Node } from "../graph/graph.js";
import { CallBench, type TunableCall, tunableCalls } from "./call_bench.js";

/** What was measured of a variant. */
export interface Measured {
  name: string;
  /** The shortest time of a run, in milliseconds. */
  ms: number;
  /** Why it is out: its result is wrong, or it does not run. */
  fault?: string;
}

/** What was measured of a call. */
export interface TunedCall {
  /** What a tuning table knows it by. */
  key: string;
  /** The default first. */
  variants: Measured[];
  /** See {@link fastest}. */
  best: string;
  /** How often the graph has it. */
  count: number;
}

/** Options of {@link tune}. */
export interface TuneOptions {
  /** Calls that need no measurement: their variants by key. A variant that there is none of is not known. */
  known?: ReadonlyMap<string, string>;
  /** Is told of each call that is done, and how many there are. */
  onCall?: (call: TunedCall, total: number) => void;
  signal?: AbortSignal;
}

/** How thoroughly variants are timed. */
export interface Timing {
  /** Measurements of a variant; others' come in between. */
  rounds: number;
  msPerMeasurement: number;
}

const thorough: Timing = { rounds: 8, msPerMeasurement: 20 };
/** The most steps of a measurement. */
const mostSteps = 256;
/** By how much another variant must be faster than the default: less is noise, and a table of noise is worth nothing. */
const clearly = 1.05;

/**
 * Measures every variant of every call of a graph on random values, each beside the others.
 * @throws GpuError where the device fails, or no variant of a call computes rightly
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
 * The name of the fastest right variant (there is one at least); the default unless another is
 * clearly faster.
 */
export function fastest(variants: readonly Measured[]): string {
  const right = variants.filter(({ fault }) => fault === undefined);
  const best = right.reduce((a, b) => (b.ms < a.ms ? b : a), right[0]);
  const [usual] = variants as readonly [Measured];
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
    const [usual] = measured as [Measured];
    if (measured.every(({ fault }) => fault !== undefined)) {
      throw new GpuError(
        `adapter "${gpu.adapter.description}" does not compute ${call.key} rightly: of "${usual.name}", ${usual.fault}`,
      );
    }
    return measured;
  } finally {
    await bench.close();
  }
}

/** Times the variants without a fault by turns. */
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
      variant.ms = Math.min(variant.ms, await bench.stepMs(variant.name, steps.get(variant) as number));
    }
  }
}
