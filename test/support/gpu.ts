import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { type DType, Graph, type Tensor } from "../../src/graph/graph.js";
import { Program, type Results } from "../../src/graph/program.js";
import { openNodeGpu } from "../../src/node/adapters/gpu.js";
import { Guards } from "./guards.js";
import { IndexChecks } from "./indices.js";

/** The adapter that the tests run on: SDMAE_ADAPTER, else the one that `npm install` installs. */
export const testAdapter = process.env.SDMAE_ADAPTER || "swiftshader";

/**
 * All cases; on lavapipe some of them. lavapipe compiles a kernel in seconds, SwiftShader in
 * milliseconds, and each shape is another kernel.
 * @param some how many cases lavapipe gets: the last one, and others spread evenly before it
 */
export function casesFor<T>(cases: readonly T[], some = 2): readonly T[] {
  if (testAdapter !== "lavapipe") return cases;
  return cases.filter((_, i) => (cases.length - 1 - i) % Math.ceil(cases.length / some) === 0);
}

/** What belongs to a device that {@link useGpu} opened. */
interface Beside {
  guards: Guards;
  /** Another device on the same adapter. It clamps indices, and its kernels count those outside. */
  robust(): Promise<{ gpu: Gpu; checks: IndexChecks }>;
}

const beside = new WeakMap<GPUDevice, Beside>();

/** Options of {@link useGpu}. */
export interface UseGpuOptions {
  /**
   * Whether every dispatch runs between guards (test/support/guards.ts), which takes time; default
   * true.
   */
  guarded?: boolean;
}

/**
 * Opens a device for the tests of a file and closes it after them. Call it at the top of the
 * file. If a kernel writes beyond its buffers, the test that ran it fails.
 */
export function useGpu(adapter: string = testAdapter, { guarded = adapter !== "null" }: UseGpuOptions = {}): () => Gpu {
  let gpu: Gpu | undefined;
  let robust: ReturnType<Beside["robust"]> | undefined;
  let guards: Guards | undefined;
  beforeAll(async () => {
    gpu = await openNodeGpu({ adapter });
    if (!guarded) return;
    guards = new Guards(gpu.device);
    Object.defineProperty(gpu, "device", { value: guards.device });
    const open = async () => {
      const own = await openNodeGpu({ adapter, robust: true });
      const checks = new IndexChecks(own.device);
      Object.defineProperty(own, "device", { value: checks.device });
      return { gpu: own, checks };
    };
    const openRobust = () => {
      robust ??= open();
      return robust;
    };
    beside.set(gpu.device, { guards, robust: openRobust });
  });
  afterEach(() => guards?.check());
  afterAll(async () => {
    gpu?.close();
    (await robust)?.gpu.close();
  });
  return () => {
    if (!gpu) throw new Error("the device is open inside tests only");
    return gpu;
  };
}

/**
 * Runs something three times: between guards of one filling, between guards of another, and on a
 * device that clamps and checks indices. All results must be the same, bit by bit. No guard may
 * change, no index may lie outside. On a device without guards it runs once.
 * @returns what it gave
 */
export async function boundsChecked<T>(gpu: Gpu, run: (gpu: Gpu) => Promise<T>): Promise<T> {
  const { guards, robust } = beside.get(gpu.device) ?? {};
  const result = await run(gpu);
  if (!guards || !robust) return result;
  await guards.check();
  guards.fill("large");
  try {
    expect(bitsOf(await run(gpu)), "what lies beyond a buffer was read").toEqual(bitsOf(result));
    await guards.check();
  } finally {
    guards.fill("nan");
  }
  const { adapter, tuning, forcedKind, nap } = gpu;
  const { gpu: other, checks } = await robust();
  const clamped = Object.create(other, {
    ...{
      adapter: { value: adapter },
      tuning: { value: tuning },
      forcedKind: { value: forcedKind },
      nap: { value: nap },
    },
  }) as Gpu;
  const bits = bitsOf(await run(clamped));
  await checks.check();
  expect(bits, "clamped indices change the result").toEqual(bitsOf(result));
  return result;
}

/** Values with floats as their bits, since a NaN equals every other one. */
function bitsOf(value: unknown): unknown {
  if (value instanceof Float32Array) return new Uint32Array(value.buffer, value.byteOffset, value.length);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(bitsOf);
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, bitsOf(own)]));
}

/**
 * The same device, taken for a GPU: kernels are chosen as for one. Choices of variants are not
 * kept.
 */
export function asGpu(gpu: Gpu): Gpu {
  return Object.create(gpu, {
    adapter: { value: { ...gpu.adapter, kind: "gpu" } },
    keepTuning: { value: undefined, writable: true },
  }) as Gpu;
}

/** What an adapter says about itself: only this. */
export function adapterInfo(fields: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  const empty = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  return { ...empty, ...fields } as GPUAdapterInfo;
}

/** The spec of a tensor of f32, for rules about shapes. */
export const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });

export type Values = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** A graph under construction, with the values of its inputs. */
export class Bench {
  readonly graph: Graph;
  private readonly values: { tensor: Tensor; data: Values }[] = [];

  constructor(gpu: Gpu) {
    this.graph = new Graph(gpu);
  }

  input(shape: readonly number[], data: Values): Tensor {
    return this.keep(this.graph.input(`input ${this.values.length}`, shape, typeOf(data)), data);
  }

  state(shape: readonly number[], data: Values): Tensor {
    return this.keep(this.graph.state(`state ${this.values.length}`, shape, typeOf(data)), data);
  }

  /** Sets the values of a tensor that something else added. */
  keep(tensor: Tensor, data: Values): Tensor {
    this.values.push({ tensor, data });
    return tensor;
  }

  fill(program: Program): void {
    for (const { tensor, data } of this.values) program.write(tensor, data);
  }
}

function typeOf(data: Values): DType {
  return data instanceof Float32Array ? "f32" : "u32";
}

/**
 * Runs one step of the graph that `build` makes, on the values that it gives the inputs, by {@link
 * boundsChecked}.
 * @returns the values of the tensors that `build` returned, under their names
 */
export async function evaluate(gpu: Gpu, build: (bench: Bench) => Record<string, Tensor>): Promise<Results> {
  const bench = new Bench(gpu);
  for (const [name, tensor] of Object.entries(build(bench))) bench.graph.output(name, tensor);
  return boundsChecked(gpu, async (device) => {
    const program = await Program.compile(device, bench.graph);
    try {
      bench.fill(program);
      return await program.run();
    } finally {
      program.close();
    }
  });
}

/** As {@link evaluate}, for a single output of floats. */
export async function evaluateOne(gpu: Gpu, build: (bench: Bench) => Tensor): Promise<Float32Array> {
  const { y } = await evaluate(gpu, (bench) => ({ y: build(bench) }));
  return y as Float32Array;
}
