import type { Gpu, Target } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { byteSize, Graph, type Node, type Op, type Tensor } from "../graph/graph.js";
import { floatsOf, Program } from "../graph/program.js";
import { float32ToHalf } from "../half.js";
import { uniformGenerator } from "../random.js";

/** What was measured of a variant. */
export interface Measured {
  name: string;
  /** The shortest time of a run, in milliseconds. */
  ms: number;
  /** Why it is out: its result differs from that of the plainest variant, or it does not run. */
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

/** ‖a−b‖/‖b‖ that a variant may be away from the plainest one, by what activations are stored as. */
const tolerance = { f32: 1e-4, f16: 1e-2 };
/** Measurements of a variant; others' come in between. */
const rounds = 8;
const msPerMeasurement = 20;
/** The most steps of a measurement. */
const mostSteps = 256;
/** By how much another variant must be faster than the default: less is noise, and a table of noise is worth nothing. */
const clearly = 1.05;

/**
 * Measures every variant of every call of a graph on random values, each beside the others.
 * @throws GpuError where the device fails
 */
export async function tune(gpu: Gpu, nodes: readonly Node[], options: TuneOptions = {}): Promise<TunedCall[]> {
  const calls = new Map<string, { node: Node; names: readonly string[]; count: number }>();
  for (const node of nodes) {
    const variants = node.op.variants?.(node, gpu);
    if (!variants || variants.names.length < 2) continue;
    const known = options.known?.get(variants.key);
    if (known !== undefined && variants.names.includes(known)) continue;
    const call = calls.get(variants.key) ?? { node, names: variants.names, count: 0 };
    call.count++;
    calls.set(variants.key, call);
  }
  const tuned: TunedCall[] = [];
  for (const [key, { node, names, count }] of calls) {
    options.signal?.throwIfAborted();
    const variants = await measureVariants(gpu, node, key, names);
    const call = { key, variants, best: fastest(variants), count };
    tuned.push(call);
    options.onCall?.(call, calls.size);
  }
  return tuned;
}

/** The name of the fastest that is right; the default where no other is clearly faster. */
export function fastest(variants: readonly Measured[]): string {
  const right = variants.filter(({ fault }) => fault === undefined);
  const best = right.reduce((a, b) => (b.ms < a.ms ? b : a), right[0] as Measured);
  const [usual] = variants as readonly [Measured];
  return usual.fault === undefined && usual.ms < clearly * best.ms ? usual.name : best.name;
}

type Values = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** The node alone in a program, computed by one of its variants. */
async function compile(gpu: Gpu, node: Node, target: Target): Promise<{ program: Program; outputs: Tensor[] }> {
  const graph = new Graph(target);
  const op: Op = { ...node.op, kernels: (call) => node.op.kernels(call, target) };
  const inputs = node.inputs.map(({ name, shape, dtype }) => graph.state(name, shape, dtype));
  const outputs = graph.apply(op, inputs, node.attrs);
  graph.output("first", outputs[0] as Tensor);
  const program = await Program.compile(gpu, graph, 1);
  const random = uniformGenerator(5);
  const drawn = inputs.map((tensor) => values(tensor, random));
  node.op.variants?.(node, target).agree?.(drawn.map((of) => (of instanceof Float32Array ? of : undefined)));
  for (const [i, tensor] of inputs.entries()) program.write(tensor, stored(tensor, drawn[i] as Values));
  return { program, outputs };
}

/** Values as a network has them: floats around zero; indices that are valid wherever they point. */
function values(tensor: Tensor, random: () => number): Values {
  const words = byteSize(tensor) / 4;
  if (tensor.dtype === "u32") return Uint32Array.from({ length: words }, () => (random() < 0.5 ? 0 : 1));
  return Float32Array.from({ length: words * (tensor.dtype === "f16" ? 2 : 1) }, () => random() - 0.5);
}

function stored({ dtype }: Tensor, of: Values): Values {
  if (dtype !== "f16") return of;
  return new Uint32Array(float32ToHalf(of as Float32Array).buffer as ArrayBuffer);
}

async function measureVariants(gpu: Gpu, node: Node, key: string, names: readonly string[]): Promise<Measured[]> {
  const { adapter, features, limits } = gpu;
  const measured: Measured[] = names.map((name) => ({ name, ms: Number.POSITIVE_INFINITY }));
  const programs = new Map<Measured, Program>();
  // What all are held against: the variant that is the easiest to see through.
  const plainest = names.includes("plain") ? "plain" : (names[0] as string);
  let want: Float32Array | undefined;
  try {
    for (const variant of [...measured].sort((a, b) => Number(b.name === plainest) - Number(a.name === plainest))) {
      const target: Target = { adapter, features, limits, tuning: new Map([[key, variant.name]]) };
      try {
        const { program, outputs } = await compile(gpu, node, target);
        programs.set(variant, program);
        await program.ready();
        const { first } = await program.run();
        const got = floatsOf(first as Float32Array, outputs[0] as Tensor);
        want ??= got;
        const away = distance(got, want);
        const most = tolerance[node.inputs.some(({ dtype }) => dtype === "f16") ? "f16" : "f32"];
        if (!(away <= most)) variant.fault = `its result is ${away.toPrecision(2)} away from that of "${plainest}"`;
      } catch (error) {
        if (variant.name === plainest) throw error;
        variant.fault = (error as Error).message;
      }
    }
    const running = [...programs].filter(([{ fault }]) => fault === undefined);
    const steps = new Map<Measured, number>();
    for (const [variant, program] of running) {
      const once = await stepMs(gpu, program, 1);
      steps.set(variant, Math.max(1, Math.min(mostSteps, Math.round(msPerMeasurement / once))));
    }
    for (let round = 0; round < rounds; round++) {
      for (const [variant, program] of running) {
        variant.ms = Math.min(variant.ms, await stepMs(gpu, program, steps.get(variant) as number));
      }
    }
    return measured;
  } finally {
    for (const program of programs.values()) program.close();
  }
}

/**
 * Milliseconds of a step: the shortest of several by the GPU's own clock. Where it has none, the mean by the host's, whose waiting is coarse (see
 * gpu/patience.ts), so that it takes more of them.
 */
async function stepMs(gpu: Gpu, program: Program, steps: number): Promise<number> {
  if (Profiler.available(gpu)) return Math.min(...(await program.time(steps)));
  const count = 8 * steps;
  const start = performance.now();
  for (let i = 0; i < count; i++) program.submit();
  await program.finish();
  return (performance.now() - start) / count;
}

/** ‖a−b‖/‖b‖ */
function distance(a: Float32Array, b: Float32Array): number {
  let [squares, whole] = [0, 0];
  for (const [i, value] of b.entries()) {
    squares += ((a[i] as number) - value) ** 2;
    whole += value ** 2;
  }
  return Math.sqrt(squares / (whole || 1));
}
