import { describe, expect, it } from "vitest";
import type { Target } from "../../src/gpu/gpu.js";
import { Graph } from "../../src/graph/graph.js";
import { paperConfig, tensorShapes } from "../../src/model/config.js";
import { ParameterLayout } from "../../src/train/parameters.js";
import { randomWeights, tinyConfig } from "../support/model.js";

const target = { adapter: { kind: "gpu" }, features: new Set(), limits: {} } as unknown as Target;

describe("the flat state of trained tensors", () => {
  it("holds every tensor once, and gives it back", () => {
    for (const config of [tinyConfig, { ...tinyConfig, studentDepth: 0 }]) {
      const weights = randomWeights(config, 3);
      const layout = new ParameterLayout(config);
      const { trained, running } = layout.flatten(weights);
      const back = layout.unflatten(trained, running);
      expect([...back.keys()]).toEqual([...tensorShapes(config).keys()]);
      for (const [name, tensor] of weights) expect(back.get(name)).toEqual(tensor);
    }
  });

  it("groups tensors by stage and by weight decay", () => {
    const layout = new ParameterLayout(paperConfig);
    expect(layout.ranges.map(({ student, decays }) => [student, decays])).toEqual([
      [false, true],
      [false, false],
      [true, true],
      [true, false],
    ]);
    const shapes = tensorShapes(paperConfig);
    for (const { name, offset } of layout.tensors()) {
      const range = layout.ranges.find((r) => offset >= r.offset && offset < r.offset + r.length);
      expect(range?.student, name).toBe(name.startsWith("decoder_student"));
      // Norms and biases do not decay. Everything else does, tokens included.
      expect(range?.decays, name).toBe(shapes.get(name)!.length > 1);
    }
    // The paper's 3.04 million parameters, and padding.
    const parameters = layout.tensors().reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
    expect(parameters / 1e6).toBeCloseTo(3.04, 2);
    expect(layout.length - parameters).toBeLessThan(64 * layout.tensors().length);
  });

  it("has q, k and v side by side", () => {
    const layout = new ParameterLayout(tinyConfig);
    const weights = randomWeights(tinyConfig, 5);
    const { trained, running } = layout.flatten(weights);
    const graph = new Graph(target);
    const state = graph.state("trained", [layout.length], "f32");
    const width = tinyConfig.encoderWidth;
    const slice = layout.slice(graph, state, "blocks.0.attn.proj_q.weight", [3, width, width]);
    const at = slice.offset ?? 0;
    const names = ["q", "k", "v"].map((p) => `blocks.0.attn.proj_${p}.weight`);
    const want = names.flatMap((name) => [...(weights.get(name)?.data ?? [])]);
    expect([...trained.subarray(at, at + want.length)]).toEqual(want);
    const runningState = graph.state("running", [layout.runningLength], "f32");
    const statistics = layout.runningSlice(graph, runningState, "decoder_blocks.1");
    expect(statistics.shape).toEqual([2, 3, tinyConfig.decoderWidth]);
    const from = statistics.offset ?? 0;
    const variances = weights.get("decoder_blocks.1.attn.conv_proj_k.bn.running_var")?.data ?? [];
    const where = from + 4 * tinyConfig.decoderWidth;
    expect([...running.subarray(where, where + tinyConfig.decoderWidth)]).toEqual([...variances]);
    expect(() => layout.slice(graph, state, "blocks.0.attn.proj_q.weight", [2, width, width])).toThrow(
      "cannot be seen",
    );
    expect(() => layout.slice(graph, state, "blocks.0.attn.proj_k.weight", [width, width])).toThrow("cannot be seen");
  });

  it("names a tensor that is missing or has another shape", () => {
    const layout = new ParameterLayout(tinyConfig);
    const weights = new Map(randomWeights(tinyConfig, 1));
    weights.set("norm.weight", { shape: [3], data: new Float32Array(3) });
    expect(() => layout.flatten(weights)).toThrow("tensor norm.weight has the shape [3], not [32]");
    weights.delete("norm.weight");
    expect(() => layout.flatten(weights)).toThrow("no tensor named norm.weight");
  });
});
