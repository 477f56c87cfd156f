import { describe, expect, it } from "vitest";
import type { Target } from "../../src/gpu/gpu.js";
import {
  byteSize,
  Graph,
  type NoAttrs,
  type Node,
  type Op,
  reshape,
  storageOf,
  type Tensor,
} from "../../src/graph/graph.js";
import { type MemoryPlan, planMemory } from "../../src/graph/plan.js";
import { paperConfig } from "../../src/model/config.js";
import { modelGraph, tinyConfig } from "../support/model.js";
import { Random } from "../support/numbers.js";

const target: Target = {
  adapter: { vendor: "", architecture: "", device: "", description: "", kind: "gpu" },
  features: new Set(),
  limits: {} as GPUSupportedLimits,
};

/** An op with any inputs and as many outputs as sizes. It is never run. */
const anyOp: Op<{ sizes: readonly number[] }> = {
  name: "any",
  outputs: (_, { sizes }) => sizes.map((n) => ({ shape: [n], dtype: "f32" })),
  kernels: () => [],
  cost: () => ({ flops: 0, bytes: 0 }),
};
/** Updates its first input in place. */
const updateOp: Op<NoAttrs, "x", "other"> = {
  name: "update",
  inPlace: ["x"],
  outputs: ({ x }) => [x],
  kernels: () => [],
  cost: () => ({ flops: 0, bytes: 0 }),
};

/** The tensors as an op's inputs. */
const numbered = (tensors: readonly Tensor[]) => Object.fromEntries(tensors.entries());

/** The buffer of a tensor, as something to compare. */
function bufferOf(plan: MemoryPlan, tensor: Tensor): string {
  const { id } = storageOf(tensor);
  const slot = plan.slots.get(id);
  return slot === undefined ? `own ${id}` : `slot ${slot}`;
}

/** Checks what must hold for every plan. Returns its peak and the sum of all values in bytes. */
function checkPlan(graph: Graph, plan: MemoryPlan): { peak: number; sum: number } {
  let sum = 0;
  for (const node of plan.nodes) {
    const written = node.outputs.map((t) => bufferOf(plan, t));
    expect(new Set(written).size, `${node.name} writes one buffer twice`).toBe(written.length);
    for (const input of Object.values(node.inputs)) {
      const updated = node.outputs.some((t) => storageOf(t).id === storageOf(input).id);
      if (!updated) expect(written, `${node.name} reads what it writes`).not.toContain(bufferOf(plan, input));
    }
    for (const tensor of node.outputs) {
      if (storageOf(tensor) !== tensor) continue;
      sum += byteSize(tensor);
      expect(plan.slotBytes[plan.slots.get(tensor.id)!]).toBeGreaterThanOrEqual(byteSize(tensor));
    }
  }
  // By simulation: each reader of a buffer must find its tensor there; at the end, so must the
  // outputs.
  const content = new Map<string, number>();
  const check = (tensor: Tensor, who: string) => {
    if (storageOf(tensor).role === "value") {
      expect(content.get(bufferOf(plan, tensor)), `${who} finds its input ${tensor.name}`).toBe(storageOf(tensor).id);
    }
  };
  for (const node of plan.nodes) {
    for (const input of Object.values(node.inputs)) check(input, node.name);
    for (const output of node.outputs) content.set(bufferOf(plan, output), storageOf(output).id);
  }
  for (const [name, tensor] of graph.outputs) check(tensor, `output ${name}`);
  return { peak: plan.slotBytes.reduce((a, b) => a + b, 0), sum };
}

describe("memory plan", () => {
  const sizes = {
    source: { height: 64, width: 96 },
    norm: "L2",
    masking: "random",
    maskedOnly: false,
  } as const;

  it("of the paper's network: safe, and a small part of all activations", () => {
    const size = { height: 320, width: 640 };
    const { graph } = modelGraph(target, { ...sizes, config: paperConfig, size, batch: 2 });
    const { peak, sum } = checkPlan(graph, planMemory(graph));
    expect(peak).toBeLessThan(sum / 4);
  });

  it("grows with the batch, and no faster", () => {
    const size = { height: 320, width: 640 };
    const bytes = [1, 2, 3, 8, 32].map((batch) => {
      const { graph } = modelGraph(target, { ...sizes, config: paperConfig, size, batch });
      return planMemory(graph).slotBytes.reduce((a, b) => a + b, 0) / batch;
    });
    for (const each of bytes) expect(each / bytes[0]).toBeCloseTo(1, 2);
  });

  it("of a tiny network with every op and output", () => {
    const size = { height: 32, width: 48 };
    const losses = { normalizeTarget: true };
    const { graph } = modelGraph(target, { ...sizes, config: tinyConfig, size, batch: 3, losses, maskedOnly: true });
    const { peak, sum } = checkPlan(graph, planMemory(graph));
    expect(peak).toBeLessThan(sum);
  });

  it("of 200 random graphs, with dead nodes, several outputs, updates in place and other shapes", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      const graph = new Graph(target);
      const state = graph.state("state", [16], "f32");
      const tensors: Tensor[] = [graph.input("x", [8], "f32"), graph.weight("w", [4], new Float32Array(4)), state];
      const pick = () => tensors[random.integer(tensors.length)];
      for (let i = 0; i < 25; i++) {
        const values = tensors.filter((t) => t.role === "value" && storageOf(t).role === "value");
        const newest = values.at(-1);
        if (random.next() < 0.1 && newest) {
          // Readers of the old value must have run before, so only the newest value is updated, and
          // forgotten.
          const [updated] = graph.apply(updateOp, { x: newest, other: pick() }, {});
          tensors.splice(tensors.indexOf(newest), 1, updated);
          continue;
        }
        const count = 1 + random.integer(3);
        const inputs = Array.from({ length: 1 + random.integer(3) }, pick);
        const outputs = graph.apply(anyOp, numbered(inputs), {
          sizes: Array.from({ length: count }, () => 4 * (1 + random.integer(20))),
        });
        tensors.push(...outputs);
        if (random.next() < 0.2) tensors.push(reshape(outputs[0], [2, outputs[0].shape[0] / 2]));
      }
      // The state and what was not updated since.
      const values = tensors.filter((t) => t.role === "value");
      graph.output("last", values.at(-1)!);
      graph.output("some", values[random.integer(values.length)]);
      const plan = planMemory(graph);
      checkPlan(graph, plan);

      // Exactly the nodes that an output needs, found from the outputs.
      const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((t) => [t.id, node] as const)));
      const needed = new Set<Node>();
      const need = (tensor: Tensor) => {
        const node = makers.get(tensor.id);
        if (!node || needed.has(node)) return;
        needed.add(node);
        Object.values(node.inputs).forEach(need);
      };
      for (const tensor of graph.outputs.values()) need(tensor);
      expect(plan.nodes.map((node) => graph.nodes.indexOf(node))).toEqual(
        graph.nodes.flatMap((node, i) => (needed.has(node) ? [i] : [])),
      );
    }
  });

  it("drops unused nodes, and keeps those that update a state", () => {
    const graph = new Graph(target);
    const x = graph.input("x", [8], "f32");
    const state = graph.state("ring", [8], "f32");
    const [dead] = graph.apply(anyOp, { x }, { sizes: [8] });
    graph.apply(anyOp, { dead }, { sizes: [8] });
    graph.apply(updateOp, { x: state, other: x }, {});
    const [y] = graph.apply(anyOp, { x }, { sizes: [8] });
    graph.output("y", y);
    const plan = planMemory(graph);
    expect(plan.nodes.map((n) => n.op.name)).toEqual(["update", "any"]);
    expect([...plan.slots.keys()]).toEqual([y.id]);
  });

  it("runs a long chain in two buffers", () => {
    const graph = new Graph(target);
    let t = graph.input("x", [8], "f32");
    for (let i = 0; i < 10; i++) t = graph.apply(anyOp, { t }, { sizes: [8] })[0];
    graph.output("y", t);
    expect(planMemory(graph).slotBytes).toEqual([32, 32]);
  });
});

describe("graph", () => {
  it("takes two bytes for a half, in whole words, and has no slices of them", () => {
    const graph = new Graph(target);
    expect([1, 2, 5, 8].map((n) => byteSize(graph.input("x", [n], "f16")))).toEqual([4, 4, 12, 16]);
    const state = graph.state("state", [128], "f16");
    expect(() => graph.slice("part", state, 64, [8])).toThrow("part: [8] at 64 is not a slice of state");
  });

  it("names a node's error by its scope", () => {
    const graph = new Graph(target);
    const broken: Op<object> = {
      ...anyOp,
      name: "broken",
      outputs: () => {
        throw new Error("x has the shape [3], not [4]");
      },
    };
    expect(() => graph.scope("blocks.0", () => graph.apply(broken, {}, {}))).toThrow(
      "blocks.0.broken: x has the shape [3], not [4]",
    );
    // The scope ends although it threw.
    expect(graph.weight("w", [2], new Float32Array(2)).name).toBe("w");
  });

  it("refuses weights, views and outputs that do not fit", () => {
    const graph = new Graph(target);
    expect(() => graph.weight("w", [2, 3], new Float32Array(5))).toThrow("weight w has 5 values for the shape [2,3]");
    const x = graph.input("x", [6], "f32");
    expect(() => reshape(x, [4])).toThrow("x of shape [6] cannot be seen as [4]");
    graph.output("y", x);
    expect(() => graph.output("y", x)).toThrow("an output named y already");
  });
});
