// Where each tensor of a model lies in the flat arrays that training works on.
import { isStudentTensor } from "../checkpoint/merge.js";
import { InputError } from "../errors.js";
import { elementCount, type Graph, sliceAlignment, type Tensor } from "../graph/graph.js";
import { blockNames, projections, type SdMaeConfig, tensorShapes } from "../model/config.js";
import type { Weights } from "../model/network.js";

/** Adjacent tensors of one shape, such as those of q, k and v, which a kernel can see as one. */
interface Stack {
  names: readonly string[];
  /** Shape of each tensor. */
  shape: readonly number[];
  /** Start in the flat state, in elements. */
  offset: number;
}

/** A range of the flat state that the optimiser treats alike, in elements. */
export interface ParameterRange {
  offset: number;
  length: number;
  /** Whether weight decay applies. */
  decays: boolean;
  /** Whether it belongs to the student. */
  student: boolean;
}

/**
 * Where a model's tensors lie in two flat states: one of all trained tensors, in PyTorch's layouts,
 * and one of BatchNorm's running statistics. Trained tensors are grouped by stage (stage 1 trains
 * everything but the student, stage 2 the student) and by weight decay (docs/method.md §3), so that
 * AdamW takes one dispatch per group.
 */
export class ParameterLayout {
  readonly ranges: ParameterRange[] = [];
  /** Elements of the trained state. */
  readonly length: number;
  /** Elements of the state of running statistics. */
  readonly runningLength: number;
  private readonly stacks = new Map<string, Stack>();
  private readonly running = new Map<string, Stack>();

  constructor(readonly config: SdMaeConfig) {
    // 1. Group tensors that a kernel sees as one.
    const shapes = tensorShapes(config);
    const isRunning = (name: string) => /\.running_(mean|var)$/.test(name);
    const blocks = Object.values(blockNames(config)).flat();
    const families: string[][] = blocks.flatMap((block) => {
      const each = (name: (p: string) => string) => projections.map((p) => `${block}.attn.${name(p)}`);
      return [
        each((p) => `conv_proj_${p}.conv.weight`),
        each((p) => `conv_proj_${p}.bn.weight`),
        each((p) => `conv_proj_${p}.bn.bias`),
        each((p) => `proj_${p}.weight`),
        each((p) => `proj_${p}.bias`),
      ];
    });
    const stacked = new Set(families.flat());
    const all = [...families, ...[...shapes.keys()].filter((n) => !stacked.has(n) && !isRunning(n)).map((n) => [n])];
    // 2. Trained tensors, one range for each stage, with weight decay and without.
    let offset = 0;
    for (const student of [false, true]) {
      for (const decays of [true, false]) {
        const begin = offset;
        for (const names of all) {
          const first = names[0];
          const shape = shapes.get(first)!;
          if (isStudentTensor(first) !== student || (shape.length > 1 && !first.endsWith(".bias")) !== decays) continue;
          this.stacks.set(first, { names, shape, offset });
          offset = aligned(offset + names.length * elementCount(shape));
        }
        if (offset > begin) this.ranges.push({ offset: begin, length: offset - begin, decays, student });
      }
    }
    this.length = offset;
    // 3. Running statistics, block by block.
    offset = 0;
    for (const block of blocks) {
      const names = ["mean", "var"].flatMap((s) =>
        projections.map((p) => `${block}.attn.conv_proj_${p}.bn.running_${s}`),
      );
      const shape = shapes.get(names[0])!;
      this.running.set(block, { names, shape, offset });
      offset = aligned(offset + names.length * elementCount(shape));
    }
    this.runningLength = offset;
  }

  /** All trained tensors under the original's names, with offsets in elements. */
  tensors(): { name: string; shape: readonly number[]; offset: number }[] {
    return [...this.stacks.values()].flatMap(places);
  }

  /**
   * A tensor, or a stack of them by the name of the first, as a slice of the trained state.
   * @param shape as a kernel needs it, with as many elements
   */
  slice(graph: Graph, state: Tensor, name: string, shape: readonly number[]): Tensor {
    return slice(graph, state, name, this.stacks.get(name), shape);
  }

  /** A block's running statistics [2, 3, D] as a slice: means, then variances, of q, k, v. */
  runningSlice(graph: Graph, state: Tensor, block: string): Tensor {
    const stack = this.running.get(block);
    return slice(graph, state, `${block}.running`, stack, [2, 3, stack?.shape[0] ?? 0]);
  }

  /**
   * A model's tensors as flat arrays.
   * @throws InputError if a tensor is missing or has another shape
   */
  flatten(weights: Weights): { trained: Float32Array<ArrayBuffer>; running: Float32Array<ArrayBuffer> } {
    const fill = (flat: Float32Array<ArrayBuffer>, stacks: Iterable<Stack>) => {
      for (const { name, shape, offset } of [...stacks].flatMap(places)) {
        const tensor = weights.get(name);
        if (!tensor) throw new InputError(`the model has no tensor named ${name}`);
        if (tensor.shape.join() !== shape.join()) {
          throw new InputError(
            `tensor ${name} has the shape [${tensor.shape}], not [${shape}] as the configuration says`,
          );
        }
        flat.set(tensor.data, offset);
      }
      return flat;
    };
    return {
      trained: fill(new Float32Array(this.length), this.stacks.values()),
      running: fill(new Float32Array(this.runningLength), this.running.values()),
    };
  }

  /** The reverse of {@link flatten}. */
  unflatten(
    trained: Float32Array,
    running: Float32Array,
  ): Map<string, { shape: readonly number[]; data: Float32Array }> {
    const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    const take = (flat: Float32Array, stacks: Iterable<Stack>) => {
      for (const { name, shape, offset } of [...stacks].flatMap(places)) {
        weights.set(name, { shape, data: flat.slice(offset, offset + elementCount(shape)) });
      }
    };
    take(trained, this.stacks.values());
    take(running, this.running.values());
    // In the order of checkpoints.
    return new Map([...tensorShapes(this.config).keys()].map((name) => [name, weights.get(name)!]));
  }
}

function places({ names, shape, offset }: Stack) {
  const size = elementCount(shape);
  return names.map((name, i) => ({ name, shape, offset: offset + i * size }));
}

function slice(graph: Graph, state: Tensor, name: string, stack: Stack | undefined, shape: readonly number[]): Tensor {
  if (!stack || elementCount(shape) !== stack.names.length * elementCount(stack.shape)) {
    throw new Error(`${name} cannot be seen as [${shape}]`);
  }
  return graph.slice(name, state, stack.offset, shape);
}

function aligned(offset: number): number {
  return Math.ceil(offset / sliceAlignment) * sliceAlignment;
}
