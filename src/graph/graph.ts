// The graph: tensors, and the nodes that compute them. Knows ops only as an interface, which is
// here too.
import type { Target } from "../gpu/gpu.js";
import { float32ToHalf } from "../half.js";

/**
 * Element types. `u32` also holds packed bytes: four per word, the first in the lowest bits. `f16`
 * is for weights and for values between nodes.
 */
export type DType = ActivationType | "u32";

/** What activations, and the weights that meet them, are stored as. Sums are always f32. */
export type ActivationType = "f32" | "f16";

/** Shape and element type of a tensor; row-major, the last dimension contiguous. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/**
 * Where a tensor's values come from: written by the host before a step (input), fixed (weight),
 * kept on the GPU from step to step (state), or computed by a node (value).
 */
export type Role = "input" | "weight" | "state" | "value";

/** A tensor of a graph. */
export interface Tensor extends TensorSpec {
  readonly id: number;
  readonly name: string;
  readonly role: Role;
  /** Values of a weight; if f16, words of two values. */
  readonly data?: Float32Array | Uint32Array;
  /**
   * The tensor whose buffer this one shares: a node's input that it updates in place, or the tensor
   * of a slice.
   */
  readonly aliasOf?: Tensor;
  /** Where a slice begins in its tensor, in elements. */
  readonly offset?: number;
}

/** Work of a node: what the profiler turns into GFLOP/s and GB/s. */
export interface Cost {
  /** Floating-point operations; a multiply-add counts as two. */
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
  /**
   * The tensor bound to each variable that the WGSL declares, by the variable's name; undefined for
   * a variable that a flag leaves out.
   */
  bindings: Readonly<Record<string, Tensor | undefined>>;
  workgroups: readonly [x: number, y: number, z: number];
}

/**
 * A value for each input of an op, by the input's name: one for all of `N`, maybe one for those of
 * `M`.
 */
export type ByInput<T, N extends string, M extends string> = Readonly<Record<N, T> & Partial<Record<M, T>>>;

/**
 * The names of an op's optional inputs, if none are given: none, or for an op whose inputs are
 * unknown any.
 */
type OptionalNames<N extends string> = [N] extends [never] ? string : never;

/**
 * A node as its op sees it.
 * @typeParam A the op's attributes
 * @typeParam N names of its inputs
 * @typeParam M names of its optional inputs
 */
export interface Call<A = unknown, N extends string = never, M extends string = OptionalNames<N>> {
  readonly inputs: ByInput<Tensor, N, M>;
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
}

/** Ways to compute a call. */
export interface Variants<N extends string = never, M extends string = OptionalNames<N>> {
  /** The call's name in a tuning table: op and sizes. */
  key: string;
  /** Their names, the default first. */
  names: readonly string[];
  /**
   * Makes random values of inputs agree if they depend on each other and a variant relies on it.
   * Inputs of integers have no array.
   */
  agree?(values: ByInput<Float32Array, N, M>): void;
}

/** Attributes of an op that has none. */
export type NoAttrs = Record<string, never>;

/** What the graph knows of an operation; see {@link Call} for its type parameters. */
export interface Op<A = unknown, N extends string = never, M extends string = OptionalNames<N>> {
  readonly name: string;
  /**
   * Shape rule: the outputs for these inputs.
   * @throws Error that names what does not fit
   */
  outputs(inputs: ByInput<TensorSpec, N, M>, attrs: A): TensorSpec[];
  /** For each output that updates an input's buffer in place: the name of that input. */
  readonly inPlace?: readonly (N | M | undefined)[];
  /** The dispatches that compute it on a target. */
  kernels(call: Call<A, N, M>, target: Target): Kernel[];
  cost(call: Call<A, N, M>): Cost;
  /**
   * The ways in which a target can compute it, if there are several; {@link kernels} takes the
   * tuning table's.
   */
  variants?(call: Call<A, N, M>, target: Target): Variants<N, M>;
  /**
   * Adds the nodes of its gradient to the graph. Only the first output can be differentiated;
   * others are by-products.
   * @param dy the gradient of the loss with respect to the first output
   * @param needed whether an input's gradient is needed; others may be left out of the result
   * @returns the gradients of the loss with respect to the inputs
   */
  gradient?(
    call: Call<A, N, M>,
    dy: Tensor,
    graph: Graph,
    needed: ByInput<boolean, N, M>,
  ): Partial<Record<N | M, Tensor>>;
}

/** An op applied to tensors. */
export interface Node extends Call {
  readonly name: string;
  readonly op: Op;
  /** Without the optional ones that are absent. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** See {@link Graph.phase}. */
  readonly phase: string;
}

/** The phase of nodes outside {@link Graph.phase}. */
export const mainPhase = "step";

/** Slices begin at multiples of this many words: WebGPU binds buffers at multiples of 256 bytes. */
export const sliceAlignment = 64;

/** A static graph: tensors, and nodes in the order in which they run. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly tensors: Tensor[] = [];
  readonly outputs = new Map<string, Tensor>();
  private scopeNames: string[] = [];
  private currentPhase = mainPhase;

  /**
   * @param target the adapter that the graph is built for: weights may be laid out for its kernels
   */
  constructor(readonly target: Target) {}

  /** A tensor that the host writes before a step. */
  input(name: string, shape: readonly number[], dtype: DType): Tensor {
    return this.add({ name, shape, dtype, role: "input" });
  }

  /**
   * A tensor that stays on the GPU from step to step; zero at first. The host may write parts of
   * it.
   */
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

  /**
   * Adds a node and returns its outputs.
   * @throws Error that names the node and what does not fit
   */
  apply<A, N extends string, M extends string>(
    op: Op<A, N, M>,
    inputs: NoInfer<ByInput<Tensor, N, M>>,
    attrs: A,
  ): Tensor[] {
    const name = this.qualified(op.name);
    let specs: TensorSpec[];
    try {
      specs = op.outputs(inputs, attrs);
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`);
    }
    const present = Object.entries<Tensor | undefined>(inputs).filter((entry): entry is [string, Tensor] => !!entry[1]);
    const given = Object.fromEntries(present);
    const outputs = specs.map((spec, i) => {
      const source = op.inPlace?.[i];
      const aliasOf = source === undefined ? undefined : given[source];
      const suffix = specs.length > 1 ? `.${i}` : "";
      const place = aliasOf && { aliasOf, ...(aliasOf.offset !== undefined && { offset: aliasOf.offset }) };
      return this.add({ name: `${name}${suffix}`, shape: spec.shape, dtype: spec.dtype, role: "value", ...place });
    });
    this.nodes.push({ name, op: op as Op, inputs: given, outputs, attrs, phase: this.currentPhase });
    return outputs;
  }

  /**
   * A part of a state of words as a tensor, in the same buffer.
   * @param offset where it begins, in elements: a multiple of {@link sliceAlignment}
   */
  slice(name: string, tensor: Tensor, offset: number, shape: readonly number[]): Tensor {
    const { role, dtype } = tensor;
    const fits = offset % sliceAlignment === 0 && offset + elementCount(shape) <= elementCount(tensor.shape);
    if (!fits || dtype === "f16") {
      throw new Error(`${name}: [${shape}] at ${offset} is not a slice of ${tensor.name} of shape [${tensor.shape}]`);
    }
    return this.add({ name, shape, dtype, role, aliasOf: tensor, offset: (tensor.offset ?? 0) + offset });
  }

  /**
   * Puts what `build` adds into a phase, which runs separately under its name: the optimiser's step
   * runs after several of the model's. States last from phase to phase, values do not.
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

  /** Prefixes the names of what `build` adds with `name`, as PyTorch names modules. */
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

/**
 * The tensor that owns a tensor's buffer: itself, or the one it updates in place or is a slice of.
 */
export function storageOf(tensor: Tensor): Tensor {
  return tensor.aliasOf ? storageOf(tensor.aliasOf) : tensor;
}

/**
 * The same buffer under another shape.
 * @throws Error unless both shapes have equally many elements
 */
export function reshape(tensor: Tensor, shape: readonly number[]): Tensor {
  if (elementCount(shape) !== elementCount(tensor.shape)) {
    throw new Error(`${tensor.name} of shape [${tensor.shape}] cannot be seen as [${shape}]`);
  }
  return { ...tensor, shape };
}
