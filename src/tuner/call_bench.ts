// Runs one call of a graph alone, in each of its kernel variants: checks results, and times them.
import type { Gpu, Target } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { byteSize, elementCount, Graph, type Node, type Op, type Tensor } from "../graph/graph.js";
import { floatsOf, Program } from "../graph/program.js";
import { float32ToHalf, halfToFloat32 } from "../half.js";
import { uniformGenerator } from "../random.js";
import { expectedValues, limitOf, type Values } from "./reference.js";

/** A call of a graph that has several kernel variants. */
export interface TunableCall {
  /** Its key in tuning tables. */
  key: string;
  node: Node;
  /** Names of its variants, the default first. */
  names: readonly string[];
  /** How often it occurs in the graph. */
  count: number;
}

/**
 * The calls of a graph that have several variants, each once.
 * @param known calls whose best variant is known, which are left out: names of variants by key
 */
export function tunableCalls(
  target: Target,
  nodes: readonly Node[],
  known: ReadonlyMap<string, string> = new Map(),
): TunableCall[] {
  const calls = new Map<string, TunableCall>();
  for (const node of nodes) {
    const variants = node.op.variants?.(node, target);
    if (!variants || variants.names.length < 2) continue;
    const { key, names } = variants;
    // A known name may be of a variant that no longer exists.
    const found = known.get(key);
    if (found !== undefined && names.includes(found)) continue;
    const call = calls.get(key) ?? { key, node, names, count: 0 };
    call.count++;
    calls.set(key, call);
  }
  return [...calls.values()];
}

/** How far a result may be from the right one, as ‖a−b‖/‖b‖, by the type of activations. */
const tolerance = { f32: 1e-4, f16: 1e-2 };
/** How many values of a result the CPU computes. */
const sampled = 12;
/**
 * How many random numbers are drawn; a longer tensor repeats them. It is prime, so that the rows of
 * a matrix differ.
 */
const drawn = 65521;

/** A variant that is ready to run. */
interface Running {
  program: Program;
  output: Tensor;
}

/** Runs one call alone, on random values: checks its variants and times them. */
export class CallBench {
  private readonly inputs: Readonly<Record<string, { floats: Values; stored: Values }>>;
  private readonly running = new Map<string, Promise<Running>>();
  /** The most that a result may be away from the right one. */
  private readonly most: number;
  /** The whole result of the plainest variant, if it is right. */
  private wanted: Float32Array | undefined;

  constructor(
    private readonly gpu: Gpu,
    readonly call: TunableCall,
  ) {
    const { node, key } = call;
    const random = uniformGenerator(5);
    this.inputs = mapValues(node.inputs, (tensor, name) => draw(tensor, limitOf(node, name), random));
    const agree = node.op.variants?.(node, this.target(key))?.agree;
    agree?.(mapValues(this.inputs, ({ floats }) => (floats instanceof Float32Array ? floats : undefined)));
    this.most = tolerance[Object.values(node.inputs).some(({ dtype }) => dtype === "f16") ? "f16" : "f32"];
  }

  /** The simplest variant. Others are compared with it. */
  get plainest(): string {
    const { names } = this.call;
    return names.includes("plain") ? "plain" : names[0];
  }

  /** Begins to compile a variant, so that several compile at once. */
  prepare(name: string): void {
    this.open(name).catch(() => {}); // The error is reported when the variant is checked.
  }

  /**
   * Runs a variant, and compares some values with the CPU's. Once {@link plainest} was checked, the
   * whole result is compared with that one's.
   * @returns what is wrong, undefined if nothing is
   * @throws GpuError if the device is lost
   */
  async check(name: string): Promise<string | undefined> {
    let got: Float32Array;
    try {
      const { program, output } = await this.open(name);
      await program.ready();
      const { first } = await program.run();
      got = floatsOf(first, output);
    } catch (error) {
      this.gpu.check();
      return (error as Error).message;
    }
    const fault = this.faultOf(name, got);
    if (fault === undefined && name === this.plainest) this.wanted = got;
    return fault;
  }

  private faultOf(name: string, got: Float32Array): string | undefined {
    // An adapter that only compiles returns zeros. No op does, for random inputs.
    if (got.every((value) => value === 0)) return "its result is zero throughout";
    if (this.wanted) {
      const away = distance(got, this.wanted);
      if (!(away <= this.most)) return `its result is ${away.toPrecision(2)} away from that of "${this.plainest}"`;
    }
    // Subgroup kernels lay out weights differently from what the CPU reads. If a call uses them, it
    // has no plain variant.
    const positions = this.call.names.includes("plain") ? spread(got.length) : [];
    const floats = mapValues(this.inputs, (input) => input.floats);
    const expected = positions.length > 0 ? expectedValues(this.call.node, floats, positions) : undefined;
    if (expected) {
      const away = distance(
        positions.map((at) => got[at]),
        expected,
      );
      if (!(away <= this.most)) return `its result is ${away.toPrecision(2)} away from the CPU's`;
    }
    if (!this.wanted && !expected && name !== this.plainest) return "there is no right result to compare it with";
    return undefined;
  }

  /**
   * Milliseconds of a step: the shortest of `steps` by the GPU's clock. Without timestamp queries
   * it is the mean of 8 times as many steps by the host's clock, because the host polls coarsely
   * (gpu/patience.ts).
   */
  async stepMs(name: string, steps: number): Promise<number> {
    const { program } = await this.open(name);
    if (Profiler.available(this.gpu)) return Math.min(...(await program.time(steps)));
    const count = 8 * steps;
    const start = performance.now();
    for (let i = 0; i < count; i++) program.submit();
    await program.finish();
    return (performance.now() - start) / count;
  }

  /** Frees its buffers, after all variants have compiled. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.running.values()].map((one) => one.then(({ program }) => program.close()).catch(() => {})),
    );
    this.running.clear();
  }

  private target(name: string): Target {
    const { adapter, features, limits } = this.gpu;
    return { adapter, features, limits, tuning: new Map([[this.call.key, name]]) };
  }

  private open(name: string): Promise<Running> {
    let running = this.running.get(name);
    if (!running) {
      running = this.compile(name);
      this.running.set(name, running);
    }
    return running;
  }

  /** A program of this node alone, computed by one of its variants. */
  private async compile(name: string): Promise<Running> {
    const { node } = this.call;
    const target = this.target(name);
    const graph = new Graph(target);
    const op: Op = { ...node.op, kernels: (call) => node.op.kernels(call, target) };
    const inputs = mapValues(node.inputs, ({ name, shape, dtype }) => graph.state(name, shape, dtype));
    const [output] = graph.apply(op, inputs, node.attrs);
    graph.output("first", output);
    const program = await Program.compile(this.gpu, graph, 1);
    for (const [name, tensor] of Object.entries(inputs)) program.write(tensor, this.inputs[name].stored);
    return { program, output };
  }
}

/**
 * Random values as in a network: floats around zero; words below a limit, so that they are valid
 * indices.
 */
function draw(tensor: Tensor, limit: number | undefined, random: () => number): { floats: Values; stored: Values } {
  const count = elementCount(tensor.shape);
  const block = Array.from({ length: Math.min(count, drawn) }, random);
  if (tensor.dtype === "u32") {
    const words = repeated(
      new Uint32Array(count),
      Uint32Array.from(block, (value) => Math.floor(value * (limit ?? 2))),
    );
    return { floats: words, stored: words };
  }
  const own = Float32Array.from(block, (value) => value - 0.5);
  if (tensor.dtype === "f32") {
    const floats = repeated(new Float32Array(count), own);
    return { floats, stored: floats };
  }
  const halves = float32ToHalf(own);
  const stored = new Uint32Array(byteSize(tensor) / 4);
  repeated(new Uint16Array(stored.buffer, 0, count), halves);
  return { floats: repeated(new Float32Array(count), halfToFloat32(halves)), stored };
}

function mapValues<T, U>(of: Readonly<Record<string, T>>, map: (value: T, name: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, map(value, name)]));
}

/** Fills an array with a block, again and again. */
function repeated<T extends Values | Uint16Array<ArrayBuffer>>(
  to: T,
  block: Float32Array | Uint32Array | Uint16Array,
): T {
  for (let at = 0; at < to.length; at += block.length) {
    to.set(at + block.length > to.length ? block.subarray(0, to.length - at) : block, at);
  }
  return to;
}

/** Positions in an array: both ends, and random ones between them. */
function spread(length: number): number[] {
  const random = uniformGenerator(length);
  const inner = Array.from({ length: sampled - 2 }, () => Math.floor(random() * length));
  return [...new Set([0, length - 1, ...inner])];
}

/** ‖a−b‖/‖b‖ */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [squares, whole] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    squares += (a[i] - b[i]) ** 2;
    whole += b[i] ** 2;
  }
  return Math.sqrt(squares / (whole || 1));
}
