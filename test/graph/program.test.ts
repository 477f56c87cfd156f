import { describe, expect, it } from "vitest";
import { Graph, type NoAttrs, type Op, type Tensor } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { depthwiseConvOp } from "../../src/ops/depthwise_conv.js";
import { layerNormOp } from "../../src/ops/layer_norm.js";
import { boundsChecked, useGpu } from "../support/gpu.js";
import { packSamples, randomImage, rawSlots } from "../support/images.js";
import { type ModelGraph, modelGraph, tinyConfig } from "../support/model.js";
import { expectClose, Random } from "../support/numbers.js";
import { layerNorm } from "../support/reference.js";

const gpu = useGpu();

/** y = layer norm of x: a small graph whose result is known. */
function normGraph(): { graph: Graph; x: Tensor; gamma: Tensor; y: Tensor } {
  const graph = new Graph(gpu());
  const x = graph.input("x", [1, 4, 16], "f32");
  const gamma = graph.weight("gamma", [16], new Float32Array(16).fill(2));
  const beta = graph.weight("beta", [16], new Float32Array(16).fill(1));
  const [y] = graph.apply(layerNormOp, { x, gamma, beta }, { epsilon: 1e-6 });
  graph.output("y", y);
  return { graph, x, gamma, y };
}

function normOf(x: Float32Array): Float64Array {
  return layerNorm(x, 16, new Float32Array(16).fill(2), new Float32Array(16).fill(1), 1e-6);
}

function tinyModel(seed = 1): ModelGraph {
  return modelGraph(gpu(), {
    config: tinyConfig,
    source: { height: 20, width: 30 },
    size: { height: 16, width: 32 },
    batch: 2,
    norm: "L2",
    masking: "random",
    maskedOnly: false,
    losses: { normalizeTarget: false },
    seed,
  });
}

/** A sample whose three frames are in the slots from `first` on. */
const sampleOf = (first: number, frame: number) => ({
  ...{ previous: first, current: first + 1, next: first + 2 },
  ...{ before: first, after: first + 2, target: first + 1, frame },
});

/** Frames and samples of a step. */
function writeStep(program: Program, { raw, slots, samples, seed }: ModelGraph, step: number): void {
  const random = new Random(step);
  const images = Array.from({ length: 6 }, () => randomImage(random, 20, 30, 3));
  program.write(raw, rawSlots(images, raw.shape[1]));
  program.write(slots, Uint32Array.of(0, 1, 2, 3, 4, 5));
  program.write(samples, packSamples([sampleOf(0, step), sampleOf(3, step + 1)]));
  program.write(seed, Uint32Array.of(7));
}

function copy(results: Record<string, Float32Array | Uint32Array>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(results).map(([name, values]) => [name, Array.from(values)]));
}

describe("program", () => {
  // The first test to compile the network, which takes lavapipe minutes.
  it("gives the same bits again, from step to step and from program to program", { timeout: 400_000 }, async () => {
    const model = tinyModel();
    const [one, other] = [await Program.compile(gpu(), model.graph), await Program.compile(gpu(), model.graph)];
    try {
      writeStep(one, model, 1);
      const first = copy(await one.run());
      for (const values of Object.values(first)) expect(values.every(Number.isFinite)).toBe(true);
      expect(first.scores.every((v) => v > 0)).toBe(true);
      writeStep(one, model, 2);
      const second = copy(await one.run());
      expect(second.scores).not.toEqual(first.scores);
      writeStep(one, model, 1);
      expect(copy(await one.run())).toEqual(first);
      // Without writing anything.
      expect(copy(await one.run())).toEqual(first);
      writeStep(other, model, 2);
      expect(copy(await other.run())).toEqual(second);
    } finally {
      one.close();
      other.close();
    }
  });

  it("gives the same bits with clamped indices and without", { timeout: 400_000 }, async () => {
    const model = tinyModel();
    const { scores } = await boundsChecked(gpu(), async (device) => {
      const program = await Program.compile(device, model.graph);
      try {
        writeStep(program, model, 1);
        return copy(await program.run());
      } finally {
        program.close();
      }
    });
    expect(scores.every((v) => v > 0)).toBe(true);
  });

  it("a sample's result does not depend on its place in the batch", async () => {
    const model = tinyModel();
    const program = await Program.compile(gpu(), model.graph);
    try {
      writeStep(program, model, 1);
      const first = copy(await program.run());
      program.write(model.samples, packSamples([sampleOf(3, 2), sampleOf(0, 1)]));
      const swapped = copy(await program.run());
      expect(swapped.scores).toEqual([...first.scores.slice(2), ...first.scores.slice(0, 2)]);
      const half = first.map.length / 2;
      expect(swapped.map).toEqual([...first.map.slice(half), ...first.map.slice(0, half)]);
    } finally {
      program.close();
    }
  });

  it("creates and allocates nothing once it is compiled", async () => {
    const model = tinyModel();
    const program = await Program.compile(gpu(), model.graph);
    try {
      const before = { objects: gpu().createdObjects, bytes: gpu().allocatedBytes };
      for (let step = 0; step < 20; step++) {
        writeStep(program, model, step);
        await program.run();
      }
      program.submit();
      await gpu().finish();
      expect({ objects: gpu().createdObjects, bytes: gpu().allocatedBytes }).toEqual(before);
    } finally {
      program.close();
    }
  });

  it("frees all its memory", async () => {
    const before = gpu().allocatedBytes;
    const program = await Program.compile(gpu(), tinyModel().graph);
    expect(gpu().allocatedBytes).toBeGreaterThan(before);
    program.close();
    program.close();
    expect(gpu().allocatedBytes).toBe(before);
  });

  it("runs as many steps at once as it was compiled for, each on the inputs written before it", async () => {
    const { graph, x } = normGraph();
    const program = await Program.compile(gpu(), graph, 3);
    try {
      const random = new Random(4);
      const inputs = Array.from({ length: 9 }, () => random.floats(64));
      const running = [];
      for (const input of inputs) {
        await program.ready();
        program.write(x, input);
        running.push(program.run());
        // A submitted step does not see later writes, although it may still be running.
        program.write(x, new Float32Array(64));
      }
      const results = await Promise.all(running);
      for (const [i, { y }] of results.entries()) expectClose(y, normOf(inputs[i]), 2e-6);
    } finally {
      program.close();
    }
  });

  it("refuses one step more, and continues afterwards", async () => {
    const { graph } = normGraph();
    const program = await Program.compile(gpu(), graph, 2);
    try {
      const running = [program.run(), program.run()];
      await expect(program.run()).rejects.toThrow("as many steps as allowed are in flight: wait for ready()");
      let isReady = false;
      const ready = program.ready().then(() => {
        isReady = true;
      });
      expect(isReady).toBe(false);
      await Promise.all(running);
      await ready;
      expect((await program.run()).y.length).toBe(64);
    } finally {
      program.close();
    }
  });

  it("writes parts of an input, and copies the given data", async () => {
    const { graph, x } = normGraph();
    const program = await Program.compile(gpu(), graph);
    try {
      const input = new Random(5).floats(64);
      const given = input.slice(0, 48);
      program.write(x, given);
      given.fill(Number.NaN);
      program.write(x, input.slice(48), 4 * 48);
      expectClose((await program.run()).y, normOf(input), 2e-6);
    } finally {
      program.close();
    }
  });

  it("refuses to write tensors that are not inputs", async () => {
    const { graph, gamma, y } = normGraph();
    const program = await Program.compile(gpu(), graph);
    try {
      expect(() => program.write(gamma, new Float32Array(16))).toThrow(
        "gamma is not an input or state of this program",
      );
      expect(() => program.write(y, new Float32Array(64))).toThrow("layerNorm is not an input or state");
    } finally {
      program.close();
    }
  });

  it("keeps a state from step to step", async () => {
    const graph = new Graph(gpu());
    const state = graph.state("state", [1, 2, 16], "f32");
    const other = graph.state("other", [1, 2, 16], "f32");
    graph.output("state", state);
    graph.output("other", other);
    const program = await Program.compile(gpu(), graph);
    try {
      expect((await program.run()).state.every((v) => v === 0)).toBe(true);
      program.write(state, new Float32Array(32).fill(3));
      await program.run();
      const { state: kept, other: untouched } = await program.run();
      expect(kept.every((v) => v === 3)).toBe(true);
      expect(untouched.every((v) => v === 0)).toBe(true);
    } finally {
      program.close();
    }
  });

  it("names kernel and binding if an op and its WGSL do not fit together", async () => {
    const broken = (bindings: Record<string, Tensor>, workgroups: [number, number, number]): Op<NoAttrs, "x"> => ({
      name: "broken",
      outputs: ({ x }) => [x],
      kernels: () => [
        {
          label: "copy",
          wgsl: `@group(0) @binding(0) var<storage, read> from_: array<f32>;
@group(0) @binding(1) var<storage, read_write> to: array<f32>;
@compute @workgroup_size(1) fn f(@builtin(global_invocation_id) id: vec3<u32>) { to[id.x] = from_[id.x]; }`,
          entryPoint: "f",
          bindings,
          workgroups,
        },
      ],
      cost: () => ({ flops: 0, bytes: 0 }),
    });
    const compile = (names: string[], workgroups: [number, number, number]) => {
      const graph = new Graph(gpu());
      const x = graph.input("x", [4], "f32");
      const bindings: Record<string, Tensor> = {};
      const [y] = graph.apply(broken(bindings, workgroups), { x }, {});
      for (const name of names) bindings[name] = name === "to" ? y : x;
      graph.output("y", y);
      return Program.compile(gpu(), graph);
    };
    await expect(compile(["from_"], [4, 1, 1])).rejects.toThrow("broken (copy): nothing is bound to to");
    await expect(compile(["from_", "to", "more"], [4, 1, 1])).rejects.toThrow(
      "broken (copy): the WGSL declares no more",
    );
    await expect(compile(["from_", "to"], [2 ** 20, 1, 1])).rejects.toThrow(
      "broken (copy): 1048576,1,1 workgroups are more than the device allows",
    );
    const program = await compile(["from_", "to"], [4, 1, 1]);
    program.close();
  });

  it("counts the work of its nodes, each once", async () => {
    const graph = new Graph(gpu());
    const x = graph.input("x", [1, 5, 16], "f32");
    const weight = graph.weight("w", [9, 3, 16], new Float32Array(432));
    const bias = graph.weight("b", [3, 16], new Float32Array(48));
    const [y] = graph.apply(depthwiseConvOp, { x, weight, bias }, { rows: 2, columns: 2 });
    graph.output("y", y);
    const program = await Program.compile(gpu(), graph);
    // 9 multiply-adds per value; x, weight, bias and y once.
    expect(program.cost).toEqual({ flops: 3 * 5 * 16 * 18, bytes: 4 * (80 + 432 + 48 + 240) });
    program.close();
  });
});
