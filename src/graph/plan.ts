import { byteSize, type Graph, type Node, storageOf } from "./graph.js";

/** Which buffer each computed tensor lives in. */
export interface MemoryPlan {
  /** Nodes that an output or a state needs, in order. */
  nodes: Node[];
  /** Index of the shared buffer by tensor id; only values have one. */
  slots: Map<number, number>;
  /** Size in bytes of each shared buffer. */
  slotBytes: number[];
}

/**
 * Leaves out nodes that nothing needs and lets tensors whose lifetimes do not overlap share buffers. A node's outputs get
 * their buffers before its inputs give theirs back: WebGPU forbids one buffer bound read-only and writable in one dispatch.
 */
export function planMemory(graph: Graph): MemoryPlan {
  const nodes = neededNodes(graph);
  checkPhases(nodes);
  const lastUse = new Map<number, number>();
  nodes.forEach((node, step) => {
    for (const tensor of [...node.inputs, ...node.outputs]) lastUse.set(storageOf(tensor).id, step);
  });
  for (const tensor of graph.outputs.values()) lastUse.set(storageOf(tensor).id, Number.POSITIVE_INFINITY);

  const slots = new Map<number, number>();
  const slotBytes: number[] = [];
  const free = new Set<number>();
  nodes.forEach((node, step) => {
    for (const tensor of node.outputs) {
      if (storageOf(tensor) === tensor) slots.set(tensor.id, takeSlot(byteSize(tensor), free, slotBytes));
    }
    for (const tensor of [...node.inputs, ...node.outputs]) {
      const { id } = storageOf(tensor);
      const slot = slots.get(id);
      if (slot !== undefined && lastUse.get(id) === step) free.add(slot);
    }
  });
  return { nodes, slots, slotBytes };
}

/** The smallest free buffer that is large enough; else the largest free one, grown; else a new one. */
function takeSlot(bytes: number, free: Set<number>, slotBytes: number[]): number {
  let best: number | undefined;
  for (const slot of free) {
    const size = slotBytes[slot] as number;
    const bestSize = best === undefined ? -1 : (slotBytes[best] as number);
    const better = size >= bytes ? bestSize < bytes || size < bestSize : bestSize < bytes && size > bestSize;
    if (better) best = slot;
  }
  if (best === undefined) return slotBytes.push(bytes) - 1;
  slotBytes[best] = Math.max(slotBytes[best] as number, bytes);
  free.delete(best);
  return best;
}

/** Throws where a node of one phase needs a value of another: its buffer may serve something else by then. */
function checkPhases(nodes: readonly Node[]): void {
  const phaseOf = new Map(nodes.flatMap((node) => node.outputs.map((tensor) => [tensor.id, node.phase] as const)));
  for (const { name, phase, inputs } of nodes) {
    for (const tensor of inputs) {
      const made = phaseOf.get(tensor.id);
      if (made !== undefined && made !== phase && storageOf(tensor).role === "value") {
        throw new Error(`${name} of phase ${phase} needs ${tensor.name}, a value of phase ${made}`);
      }
    }
  }
}

function neededNodes(graph: Graph): Node[] {
  const needed = new Set([...graph.outputs.values()].map((t) => t.id));
  const kept: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    const updatesState = node.outputs.some((t) => storageOf(t).role === "state");
    if (!updatesState && !node.outputs.some((t) => needed.has(t.id))) continue;
    for (const tensor of node.inputs) needed.add(tensor.id);
    kept.push(node);
  }
  return kept.reverse();
}
