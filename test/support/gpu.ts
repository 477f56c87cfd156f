import { afterAll, beforeAll } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { type DType, Graph, type Tensor } from "../../src/graph/graph.js";
import { Program, type Results } from "../../src/graph/program.js";
import { openNodeGpu } from "../../src/node/gpu.js";

/** The adapter that the tests run on: SDMAE_ADAPTER, else the one that `npm install` brings along. */
export const testAdapter = process.env.SDMAE_ADAPTER || "swiftshader";

/**
 * All cases; on lavapipe some of them. It compiles a kernel in seconds where SwiftShader takes milliseconds, and a case of another shape is
 * another kernel.
 * @param some how many cases lavapipe gets: the last one, and others evenly from the front
 */
export function casesFor<T>(cases: readonly T[], some = 2): readonly T[] {
  if (testAdapter !== "lavapipe") return cases;
  return cases.filter((_, i) => (cases.length - 1 - i) % Math.ceil(cases.length / some) === 0);
}

/** Opens a device for the tests of a file and closes it after them. To be called at the top of the file. */
export function useGpu(adapter: string = testAdapter): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await openNodeGpu({ adapter });
  });
  afterAll(() => gpu?.close());
  return () => {
    if (!gpu) throw new Error("the device is open inside of tests only");
    return gpu;
  };
}

/** The same device, taken for a GPU: kernels are chosen as for one. */
export function asGpu(gpu: Gpu): Gpu {
  return Object.create(gpu, { adapter: { value: { ...gpu.adapter, kind: "gpu" } }, nap: { value: undefined } }) as Gpu;
}

export type Values = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** A graph in the making, with the values that its inputs will have. */
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

  /** Gives a tensor that something else added its values. */
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
 * Runs one step of the graph that `build` makes, on the values that it gives the inputs.
 * @returns the values of the tensors that `build` returned, under their names
 */
export async function evaluate(gpu: Gpu, build: (bench: Bench) => Record<string, Tensor>): Promise<Results> {
  const bench = new Bench(gpu);
  for (const [name, tensor] of Object.entries(build(bench))) bench.graph.output(name, tensor);
  const program = await Program.compile(gpu, bench.graph);
  try {
    bench.fill(program);
    return await program.run();
  } finally {
    program.close();
  }
}

/** As {@link evaluate}, for a single output of floats. */
export async function evaluateOne(gpu: Gpu, build: (bench: Bench) => Tensor): Promise<Float32Array> {
  const { y } = await evaluate(gpu, (bench) => ({ y: build(bench) }));
  return y as Float32Array;
}
