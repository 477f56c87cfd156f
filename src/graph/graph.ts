import type { Target } from "../gpu/gpu.js";
import { float32ToHalf } from "../half.js";

/** Element types. `u32` also holds packed bytes: four to a word, the first in the lowest bits. `f16` is for weights and values between nodes. */
export type DType = ActivationType | "u32";

/** What activations, and the weights that meet them, are stored as; sums are f32 always. */
export type ActivationType = "f32" | "f16";

/** Shape and element type of a tensor; row-major, the last dimension contiguous. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/**
 * Where a tensor's values come from: written by the host before a step (input), fixed (weight), kept from step to step on
 * the GPU (state), or computed by a node (value).
 */
export type Role = "input" | "weight" | "state" | "value";

/** A tensor of a graph. */
export interface Tensor extends TensorSpec {
  readonly id: number;
  readonly name: string;
  readonly role: Role;
  /** Values of a weight; of f16, words of two values. */
  readonly data?: Float32Array | Uint32Array;
  /** The tensor whose buffer this one shares: the input that a node updates in place, or what this is a slice of. */
  readonly aliasOf?: Tensor;
  /** Where a slice begins in its tensor, in elements. */
  readonly offset?: number;
}

/** Work of a node: what the profiler turns into GFLOP/s and GB/s. */
export interface Cost {
  /** Floating-point operations, a multiply-add counted as two. */
  flops: number;
  /** Bytes that must be read and written at least once. */
  bytes: number;
}

/** One dispatch of a compute shader. */
export interface Kernel {
  label: string;
  /** Specialised WGSL. */
  wgsl: string;
  entryPoint: string;
  /** The tensor bound to each variable that the WGSL declares, by the variable's name. */
  bindings: Readonly<Record<string, Tensor>>;
  workgroups: readonly [x: number, y: number, z: number];
}

/** A node as its op sees it. */
export interface Call<A = unknown> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
}

/** Ways to compute a call. */
export interface Variants {
  /** What a tuning table knows the call by: op and sizes. */
  key: string;
  /** Their names, the default first. */
  names: readonly string[];
  /** Makes random values of the inputs agree where they depend on each other, for variants that rely on it; an array an input, none for integers. */
  agree?(values: readonly (Float32Array | undefined)[]): void;
}

/** What the graph knows of an operation. */
export interface Op<A = unknown> {
  readonly name: string;
  /** Shape rule: the outputs for these inputs; throws an Error that names what does not fit. */
  outputs(inputs: readonly TensorSpec[], attrs: A): TensorSpec[];
  /** For each output that updates an input's buffer in place: the index of that input. */
  readonly inPlace?: readonly (number | undefined)[];
  /** The dispatches that compute it on a target. */
  kernels(call: Call<A>, target: Target): Kernel[];
  cost(call: Call<A>): Cost;
  /** The ways in which a target can compute it, where there are several to measure; {@link kernels} takes the one that its tuning table names. */
  variants?(call: Call<A>, target: Target): Variants;
  /**
   * Adds the nodes of its gradient to the graph: for each input the gradient of the loss with respect to it, given those with respect to the
   * outputs (undefined where the loss does not depend on one). Entries of inputs that `needed` does not ask for may be left out.
   */
  gradient?(
    call: Call<A>,
    outputGradients: readonly (Tensor | undefined)[],
    graph: Graph,
    needed: readonly boolean[],
  ): (Tensor | undefined)[];
}

/** An op applied to tensors. */
export interface Node extends Call {
  readonly name: string;
  readonly op: Op;
  /** See {@link Graph.phase}. */
  readonly phase: string;
}

/** The phase of nodes that were given none. */
export const mainPhase = "step";

/** Slices begin at multiples of so many elements, which are words: WebGPU binds buffers at multiples of 256 bytes. */
export const sliceAlignment = 64;

/** A static graph: tensors, and nodes in the order in which they run. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly tensors: Tensor[] = [];
  readonly outputs = new Map<string, Tensor>();
  private scopeNames: string[] = [];
  private currentPhase = mainPhase;

  /** @param target the adapter that the graph is built for: weights may be laid out for its kernels */
  constructor(readonly target: Target) {}

  /** A tensor that the host writes before a step. */
  input(name: string, shape: readonly number[], dtype: DType): Tensor {
    return this.add({ name, shape, dtype, role: "input" });
  }

  /** A tensor that lives on the GPU from step to step; zero at first. The host may write parts of it. */
  state(name: string, shape: readonly number[], dtype: DType): Tensor {
    return this.add({ name, shape, dtype, role: "state" });
  }

  /** Fixed values; floats may be stored rounded to f16. */
  weight(
    name: string,
    shape: readonly number[],
    data: Float32Array | Uint32Array,
    stored: ActivationType = "f32",
  ): Tensor {
    const name_ = this.qualified(name);
    if (data.length !== elementCount(shape)) {
      throw new Error(`weight ${name_} has ${data.length} values for the shape [${shape}]`);
    }
    if (data instanceof Uint32Array) return this.add({ name: name_, shape, dtype: "u32", role: "weight", data });
    if (stored === "f32") return this.add({ name: name_, shape, dtype: "f32", role: "weight", data });
    const halves = float32ToHalf(data);
    const words = new Uint32Array(Math.ceil(halves.length / 2));
    new Uint16Array(words.buffer).set(halves);
    return this.add({ name: name_, shape, dtype: "f16", role: "weight", data: words });
  }

  /** Adds a node and returns its outputs. */
  apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    const name = this.qualified(op.name);
    let specs: TensorSpec[];
    try {
      specs = op.outputs(inputs, attrs);
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`);
    }
    const outputs = specs.map((spec, i) => {
      const source = op.inPlace?.[i];
      const aliasOf = source === undefined ? undefined : inputs[source];
      const suffix = specs.length > 1 ? `.${i}` : "";
      const place = aliasOf && { aliasOf, ...(aliasOf.offset !== undefined && { offset: aliasOf.offset }) };
      return this.add({ name: `${name}${suffix}`, shape: spec.shape, dtype: spec.dtype, role: "value", ...place });
    });
    this.nodes.push({ name, op: op, inputs, outputs, attrs, phase: this.currentPhase });
    return outputs;
  }

  /**
   * A part of a state of words as a tensor of its own, in the same buffer.
   * @param offset where it begins, in elements: a multiple of {@link sliceAlignment}
   */
  slice(name: string, tensor: Tensor, offset: number, shape: readonly number[]): Tensor {
    const { role, dtype } = tensor;
    const fits = offset % sliceAlignment === 0 && offset + elementCount(shape) <= elementCount(tensor.shape);
    if (!fits || dtype === "f16") {
      throw new Error(`${name}: [${shape}] at ${offset} is no slice of ${tensor.name} of shape [${tensor.shape}]`);
    }
    return this.add({ name, shape, dtype, role, aliasOf: tensor, offset: (tensor.offset ?? 0) + offset });
  }

  /**
   * What `build` adds belongs to a phase of its own, which is run by its name: the optimiser's step after several of the model's. Values
   * do not last from phase to phase; states do.
   */
  phase<T>(name: string, build: () => T): T {
    const outer = this.currentPhase;
    this.currentPhase = name;
    try {
      return build();
    } finally {
      this.currentPhase = outer;
    }
  }

  /** Keeps a tensor readable after each step, under a name. */
  output(name: string, tensor: Tensor): void {
    if (this.outputs.has(name)) throw new Error(`the graph has an output named ${name} already`);
    this.outputs.set(name, tensor);
  }

  /** Names what `build` adds as parts of `name`, as PyTorch's modules are named. */
  scope<T>(name: string, build: () => T): T {
    this.scopeNames.push(name);
    try {
      return build();
    } finally {
      this.scopeNames.pop();
    }
  }

  private qualified(name: string): string {
    return [...this.scopeNames, name].join(".");
  }

  private add(tensor: Omit<Tensor, "id">): Tensor {
    const full = { ...tensor, id: this.tensors.length };
    this.tensors.push(full);
    return full;
  }
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Bytes of a tensor, in whole words. */
export function byteSize({ shape, dtype }: TensorSpec): number {
  return 4 * Math.ceil(elementCount(shape) / (dtype === "f16" ? 2 : 1));
}

/** The tensor that owns a tensor's buffer: itself, or what it updates in place. */
export function storageOf(tensor: Tensor): Tensor {
  return tensor.aliasOf ? storageOf(tensor.aliasOf) : tensor;
}

/** The same buffer under another shape of as many elements. */
export function reshape(tensor: Tensor, shape: readonly number[]): Tensor {
  if (elementCount(shape) !== elementCount(tensor.shape)) {
    throw new Error(`${tensor.name} of shape [${tensor.shape}] cannot be seen as [${shape}]`);
  }
  return { ...tensor, shape };
}
