import type { Gpu, Target } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { byteSize, elementCount, Graph, type Node, type Op, type Tensor } from "../graph/graph.js";
import { floatsOf, Program } from "../graph/program.js";
import { float32ToHalf, halfToFloat32 } from "../half.js";
import { uniformGenerator } from "../random.js";
import { expectedValues, limitOf, type Values } from "./reference.js";

/** A call of a graph that can be computed in several ways. */
export interface TunableCall {
  /** What a tuning table knows it by. */
  key: string;
  node: Node;
  /** Of its variants, the default first. */
  names: readonly string[];
  /** How often the graph has it. */
  count: number;
}

/**
 * The calls of a graph that have several variants, each once; without those whose best variant is
 * known.
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
    // A name that no variant has is no knowledge.
    const found = known.get(key);
    if (found !== undefined && names.includes(found)) continue;
    const call = calls.get(key) ?? { key, node, names, count: 0 };
    call.count++;
    calls.set(key, call);
  }
  return [...calls.values()];
}

/** How far a result may be from the right one, ‖a−b‖/‖b‖, by the type of activations. */
const tolerance = { f32: 1e-4, f16: 1e-2 };
/** How many values of a result the CPU computes. */
const sampled = 12;
/**
 * How many random numbers are drawn; a longer tensor repeats them. A prime, so that rows of a
 * matrix differ.
 */
const drawn = 65521;

/** A variant that is ready to run. */
interface Running {
  program: Program;
  output: Tensor;
}

/** Runs one call by itself on random values: checks its variants, and times them. */
export class CallBench {
  private readonly inputs: { floats: Values; stored: Values }[];
  private readonly running = new Map<string, Promise<Running>>();
  private readonly most: number;
  /** The whole result of the plainest variant, if it is right. */
  private wanted: Float32Array | undefined;

  constructor(
    private readonly gpu: Gpu,
    readonly call: TunableCall,
  ) {
    const { node, key } = call;
    const random = uniformGenerator(5);
    this.inputs = node.inputs.map((tensor, i) => draw(tensor, limitOf(node, i), random));
    const agree = node.op.variants?.(node, this.target(key))?.agree;
    agree?.(this.inputs.map(({ floats }) => (floats instanceof Float32Array ? floats : undefined)));
    this.most = tolerance[node.inputs.some(({ dtype }) => dtype === "f16") ? "f16" : "f32"];
  }

  /** The variant that is the easiest to see through. Others are compared with it. */
  get plainest(): string {
    const { names } = this.call;
    return names.includes("plain") ? "plain" : names[0];
  }

  /** Begins to compile a variant: so several compile at once. */
  prepare(name: string): void {
    this.open(name).catch(() => {}); // said by whoever checks it
  }

  /**
   * Runs a variant. Compares some values with the CPU's and, after {@link plainest} was checked,
   * the whole result with that one's.
   * @returns what is wrong; undefined if nothing is
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
    // An adapter that only compiles gives zeros; no op does, of random values.
    if (got.every((value) => value === 0)) return "its result is zero throughout";
    if (this.wanted) {
      const away = distance(got, this.wanted);
      if (!(away <= this.most)) return `its result is ${away.toPrecision(2)} away from that of "${this.plainest}"`;
    }
    // The subgroup kernels have another layout of weights than the CPU reads. Where they serve, no
    // variant is plain.
    const positions = this.call.names.includes("plain") ? spread(got.length) : [];
    const floats = this.inputs.map((input) => input.floats);
    const expected = positions.length > 0 ? expectedValues(this.call.node, floats, positions) : undefined;
    if (expected) {
      const away = distance(
        positions.map((at) => got[at]),
        expected,
      );
      if (!(away <= this.most)) return `its result is ${away.toPrecision(2)} away from the CPU's`;
    }
    if (!this.wanted && !expected && name !== this.plainest) return "there is nothing right to hold it against";
    return undefined;
  }

  /**
   * Milliseconds of a step: the shortest of several, by the GPU's own clock. If it has none, the
   * mean by the host's clock, whose waiting is coarse (see gpu/patience.ts): so of more steps.
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

  /** The node alone in a program, computed by one of its variants. */
  private async compile(name: string): Promise<Running> {
    const { node } = this.call;
    const target = this.target(name);
    const graph = new Graph(target);
    const op: Op = { ...node.op, kernels: (call) => node.op.kernels(call, target) };
    const inputs = node.inputs.map(({ name, shape, dtype }) => graph.state(name, shape, dtype));
    const [output] = graph.apply(op, inputs, node.attrs) as [Tensor];
    graph.output("first", output);
    const program = await Program.compile(this.gpu, graph, 1);
    for (const [i, tensor] of inputs.entries()) program.write(tensor, (this.inputs[i] as { stored: Values }).stored);
    return { program, output };
  }
}

/**
 * Random values as a network has them: floats around zero; words below a limit, so that they are
 * valid indices.
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
