import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { InputError } from "../../src/errors.js";
import { FixtureCase } from "../../src/fixture/case.js";
import { checkInference } from "../../src/fixture/inference.js";
import { Graph } from "../../src/graph/graph.js";
import { tensorShapes } from "../../src/model/config.js";
import { headErrors } from "../../src/model/heads.js";
import { gridMaskRatio, tokenGrid } from "../../src/model/masking.js";
import { Network, type Weights } from "../../src/model/network.js";
import { fixture, fixtureFile } from "../support/fixtures.js";
import { boundsChecked, casesFor, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { randomWeights, tinyConfig } from "../support/model.js";

const gpu = useGpu();

describe("the original's activations, predictions, scores and losses", () => {
  const best = ["tiny-checkpoint-best.pth", "tiny-checkpoint-best-student.pth"];
  const cases = [
    { name: "tiny-infer-random", checkpoints: best, least: 29 },
    { name: "tiny-infer-gradmask-ratio25-L1", checkpoints: best, least: 29 },
    { name: "tiny-patch8-infer", checkpoints: ["tiny-patch8.pth"], least: 29 },
    { name: "full-infer-320x640", checkpoints: ["full-patch16.pth"], least: 6 },
  ];
  // lavapipe needs minutes to compile the network if its cache is empty.
  const timeout = 400_000;
  for (const { name, checkpoints, least } of casesFor(cases, 1)) {
    it(`${name}: all within 1e-4`, { timeout }, async () => {
      const bytes = fixture(`${name}.safetensors`);
      const original = new FixtureCase(name, bytes);
      const checkpoint = openCheckpoint(checkpoints.map(fixtureFile));
      // With and without clamped indices the errors are equal to the last digit.
      const comparisons = await boundsChecked(gpu(), (device) => checkInference(device, checkpoint, original));
      expect(comparisons.length).toBeGreaterThanOrEqual(least);
      for (const wanted of original.names().filter((n) => /^(act|out)\./.test(n))) {
        expect(comparisons.map((c) => c.name)).toContain(wanted);
      }
      for (const c of comparisons) expect(c.error, `${name}: ${c.name}`).toBeLessThanOrEqual(c.tolerance ?? 1e-4);
    });
  }

  it("in float16, tiny-infer-random: all within 1e-2", { timeout }, async (test) => {
    needsHalf(gpu(), test);
    const bytes = fixture("tiny-infer-random.safetensors");
    const original = new FixtureCase("tiny-infer-random", bytes);
    const checkpoint = openCheckpoint(best.map(fixtureFile));
    const comparisons = await boundsChecked(gpu(), (device) => checkInference(device, checkpoint, original, "f16"));
    expect(comparisons.length).toBeGreaterThanOrEqual(29);
    for (const c of comparisons) expect(c.error, c.name).toBeLessThanOrEqual(c.tolerance ?? 1e-2);
    // The errors show that float16 was used.
    expect(Math.max(...comparisons.map((c) => c.error))).toBeGreaterThan(1e-4);
  });
});

describe("the token grid", () => {
  const size = (height: number, width: number) => ({ height, width });

  it("has the sizes of the presets", () => {
    expect(tokenGrid(size(320, 640), 16, 0.5)).toEqual({
      rows: 20,
      columns: 40,
      tokens: 800,
      keep: 400,
      keptColumns: 20,
    });
    expect(tokenGrid(size(160, 320), 8, 0.5)).toEqual({
      rows: 20,
      columns: 40,
      tokens: 800,
      keep: 400,
      keptColumns: 20,
    });
    expect(tokenGrid(size(64, 128), 16, 0.25)).toEqual({ rows: 4, columns: 8, tokens: 32, keep: 24, keptColumns: 6 });
    expect(tokenGrid(size(16, 16), 16, 0)).toEqual({ rows: 1, columns: 1, tokens: 1, keep: 1, keptColumns: 1 });
  });

  it("refuses a size that the patch does not divide, and names the nearest one that fits", () => {
    expect(() => tokenGrid(size(240, 360), 16, 0.5)).toThrow(
      new InputError("size 240x360 does not divide into patches of 16 pixels; 240x368 does"),
    );
    expect(() => tokenGrid(size(4, 640), 16, 0.5)).toThrow("; 16x640 does");
    expect(() => tokenGrid(size(0, 640), 16, 0.5)).toThrow(InputError);
    expect(() => tokenGrid(size(Number.NaN, 640), 16, 0.5)).toThrow(InputError);
  });

  it("refuses a mask ratio that leaves no grid", () => {
    expect(() => tokenGrid(size(48, 48), 16, 0.5)).toThrow(
      /^mask ratio 0.5 leaves no grid at 48x48 \(it keeps 4 of 9 tokens, not 3 rows of 1\): use/,
    );
    expect(() => tokenGrid(size(64, 16), 16, 0.5)).toThrow(/^mask ratio 0.5 leaves no grid at 64x16 \(it keeps 2 of 4/);
    expect(() => tokenGrid(size(32, 64), 16, 0.9)).toThrow(/leaves no grid at 32x64 \(it keeps 0 of 8/);
    // The ratio that the message proposes works.
    for (let columns = 1; columns < 45; columns++) {
      const shape = size(16 * (1 + (columns % 7)), 16 * columns);
      for (const ratio of [0.11, 0.25, 0.5, 0.77, 0.99]) {
        let named: string | undefined;
        try {
          tokenGrid(shape, 16, ratio);
        } catch (error) {
          named = /: use maskRatio ([^\s,]+)(?:, or size |$)/.exec((error as Error).message)?.[1];
          expect(Math.abs(tokenGrid(shape, 16, Number(named)).keptColumns - columns * (1 - ratio))).toBeLessThanOrEqual(
            1,
          );
        }
      }
    }
    for (const ratio of [1, -0.1, Number.NaN, 2]) {
      expect(() => tokenGrid(size(32, 64), 16, ratio)).toThrow(/^mask ratio .* is not between 0/);
    }
  });

  it("names the nearest sizes at which a mask ratio leaves a grid", () => {
    const named = (height: number, width: number, ratio: number) => {
      try {
        return tokenGrid(size(height, width), 16, ratio) && [];
      } catch (error) {
        const sizes = (error as Error).message.split(", or size ")[1] ?? "";
        return [...sizes.matchAll(/(\d+)x(\d+)/g)].map((match) => match.slice(1).map(Number));
      }
    };
    expect(named(48, 48, 0.5)).toEqual([
      [48, 32],
      [48, 64],
    ]);
    expect(named(64, 16, 0.5)).toEqual([[64, 32]]);
    for (let columns = 1; columns < 30; columns++) {
      for (const [height, width] of named(80, 16 * columns, 0.4)) {
        expect(tokenGrid(size(height, width), 16, 0.4).keep).toBeGreaterThan(0);
      }
    }
  });

  it("finds the mask ratio nearest to one, which is itself if that leaves a grid", () => {
    expect(gridMaskRatio(size(320, 640), 16, 0.5)).toBe(0.5);
    expect(gridMaskRatio(size(48, 48), 16, 0.5)).toBe(0.3);
    expect(gridMaskRatio(size(64, 96), 16, 0.11)).toBe(0.16);
    expect(() => gridMaskRatio(size(60, 96), 16, 0.5)).toThrow("size 60x96 does not divide");
  });
});

describe("the network", () => {
  it("takes every tensor of a checkpoint into the graph", () => {
    const weights = randomWeights(tinyConfig, 1);
    const read = new Set<string>();
    const watched: Weights = Object.create(weights, {
      get: {
        value: (name: string) => {
          read.add(name);
          return weights.get(name);
        },
      },
    });
    const graph = new Graph(gpu());
    const size = { height: 16, width: 32 };
    const samples = graph.input("samples", [1, 8], "u32");
    const frames = graph.input("frames", [3, 16, 32], "u32");
    const network = new Network(graph, tinyConfig, watched);
    const outputs = network.build(
      {
        frames,
        samples,
        idsKeep: graph.input("idsKeep", [1, 4], "u32"),
        idsRestore: graph.input("idsRestore", [1, 8], "u32"),
      },
      tokenGrid(size, tinyConfig.patch, 0.5),
    );
    headErrors(graph, network, outputs, { targets: frames, samples }, "L2");
    expect([...read].sort()).toEqual([...tensorShapes(tinyConfig).keys()].sort());
  });

  it("names a tensor that is missing or has another shape", () => {
    const weights = new Map(randomWeights(tinyConfig, 1));
    weights.delete("norm.bias");
    const layer = (name: string) => new Network(new Graph(gpu()), tinyConfig, weights).layer(name);
    expect(() => layer("norm")).toThrow(new InputError("the model has no tensor named norm.bias"));
    weights.set("decoder_embed.bias", { shape: [8], data: new Float32Array(8) });
    expect(() => layer("decoder_embed")).toThrow(
      new InputError("tensor decoder_embed.bias has the shape [8], but the configuration says [16]"),
    );
  });
});
