// Decides which buffer each computed tensor lives in. Tensors that are not needed at the same time
// share one.
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
 * Drops unused nodes, then assigns buffers greedily: largest tensor first, into the smallest buffer
 * that is free during its lifetime. A node's inputs and outputs live at the same time: WebGPU
 * forbids binding one buffer read-only and writable in one dispatch.
 * @throws Error if a node needs a value of another phase
 */
export function planMemory(graph: Graph): MemoryPlan {
  const nodes = neededNodes(graph);
  checkPhases(nodes);
  const lives = new Map<number, Life>();
  nodes.forEach((node, step) => {
    for (const tensor of node.outputs) {
      const { id } = tensor;
      if (storageOf(tensor) === tensor) lives.set(id, { id, bytes: byteSize(tensor), first: step, last: step });
    }
    for (const tensor of [...Object.values(node.inputs), ...node.outputs]) {
      const life = lives.get(storageOf(tensor).id);
      if (life) life.last = step;
    }
  });
  for (const tensor of graph.outputs.values()) {
    const life = lives.get(storageOf(tensor).id);
    if (life) life.last = Number.POSITIVE_INFINITY;
  }
  const slots = new Map<number, number>();
  const slotBytes: number[] = [];
  const tenants: Life[][] = [];
  for (const life of [...lives.values()].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const overlaps = (other: Life) => other.first <= life.last && life.first <= other.last;
    // Buffers are sorted by size; the last one is the smallest.
    let slot = tenants.findLastIndex((those) => !those.some(overlaps));
    if (slot < 0) {
      slot = slotBytes.push(life.bytes) - 1;
      tenants.push([]);
    }
    tenants[slot].push(life);
    slots.set(life.id, slot);
  }
  return { nodes, slots, slotBytes };
}

/**
 * When a tensor is needed: from the node that makes it to the last node that reads it, by position.
 */
interface Life {
  id: number;
  bytes: number;
  first: number;
  last: number;
}

/**
 * Throws if a node of one phase needs a value of another: its buffer may hold something else by
 * then.
 */
function checkPhases(nodes: readonly Node[]): void {
  const phaseOf = new Map(nodes.flatMap((node) => node.outputs.map((tensor) => [tensor.id, node.phase] as const)));
  for (const { name, phase, inputs } of nodes) {
    for (const tensor of Object.values(inputs)) {
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
    for (const tensor of Object.values(node.inputs)) needed.add(tensor.id);
    kept.push(node);
  }
  return kept.reverse();
}
