import { describe, expect, it } from "vitest";
import type { Target } from "../../src/gpu/gpu.js";
import { declaredBindings } from "../../src/gpu/wgsl.js";
import type { Graph } from "../../src/graph/graph.js";
import { planMemory } from "../../src/graph/plan.js";
import { Program } from "../../src/graph/program.js";
import { paperConfig } from "../../src/model/config.js";
import { optimizerPhase } from "../../src/train/training_graph.js";
import { useGpu } from "../support/gpu.js";
import { type ModelOptions, modelGraph, tinyConfig } from "../support/model.js";
import { type TrainingOptions, trainingGraph } from "../support/training.js";

/**
 * Dawn's null backend runs nothing and validates everything, with the limits that each WebGPU
 * device has at least: it stands for GPUs whose variants no adapter here selects.
 */
const gpu = useGpu("null");
/** What WebGPU guarantees for a shader stage. */
const storageBuffers = 8;

const tiny: ModelOptions = {
  config: tinyConfig,
  source: { height: 37, width: 51 },
  size: { height: 32, width: 48 },
  batch: 2,
  norm: "L2",
  masking: "random",
  maskedOnly: false,
};
const full: ModelOptions = {
  ...tiny,
  config: paperConfig,
  source: { height: 360, width: 640 },
  size: { height: 320, width: 640 },
};

/** Every flag that a kernel has is on in one of them and off in another. */
const graphs: [string, ModelOptions][] = [
  ["the paper's network, Avenue", full],
  [
    "the paper's network, ShanghaiTech",
    {
      ...full,
      config: { ...paperConfig, patch: 8 },
      size: { height: 160, width: 320 },
      norm: "L1",
      masking: "gradient",
      maskedOnly: true,
      losses: { normalizeTarget: true },
    },
  ],
  ["batch 1", { ...full, batch: 1 }],
  ["a large batch", { ...full, config: { ...paperConfig, encoderDepth: 1, decoderDepth: 1 }, batch: 32 }],
  ["no student", { ...tiny, config: { ...tinyConfig, studentDepth: 0 }, losses: { normalizeTarget: false } }],
  ["a tiny network", { ...tiny, losses: { normalizeTarget: false } }],
  [
    "a tiny network with all options",
    { ...tiny, norm: "L1", masking: "gradient", maskedOnly: true, losses: { normalizeTarget: true } },
  ],
  ["the paper's network in float16", { ...full, dtype: "f16" }],
  [
    "a tiny network in float16 with all options",
    { ...tiny, dtype: "f16", masking: "gradient", maskedOnly: true, losses: { normalizeTarget: true } },
  ],
  ["one head", { ...tiny, config: { ...tinyConfig, heads: 1 } }],
  ["one row of tokens", { ...tiny, size: { height: 8, width: 48 } }],
];

/** The targets that kernels may be chosen by: with every feature, and with none. */
function targets(): [string, Target][] {
  const { adapter, limits, features } = gpu();
  const of = (kind: Target["adapter"]["kind"], own: ReadonlySet<string>, subgroupSize?: number): Target => ({
    adapter: { ...adapter, kind, ...(subgroupSize && { subgroupSize }) },
    features: own,
    limits,
  });
  return [
    ["a GPU with every feature", of("gpu", features)],
    ["a GPU without any", of("gpu", new Set())],
    ["lavapipe", of("lavapipe", features, 8)],
    ["lavapipe with 512-bit vectors", of("lavapipe", features, 16)],
    ["SwiftShader", of("swiftshader", new Set(["subgroups", "timestamp-query"]), 4)],
    ["another software adapter", of("software", new Set())],
  ];
}

const learning: TrainingOptions = {
  config: paperConfig,
  size: { height: 320, width: 640 },
  batch: 2,
  stage: 1,
  loss: "gradient-weighted",
  normalizeTarget: false,
  dropout: 0.1,
};
const tinyLearning: TrainingOptions = { ...learning, config: tinyConfig, size: { height: 32, width: 48 }, batch: 3 };

const trainings: [string, TrainingOptions][] = [
  ["the paper's network, stage 1", learning],
  ["the paper's network, stage 2", { ...learning, stage: 2, size: { height: 160, width: 320 } }],
  [
    "the paper's network, patch 8",
    { ...learning, config: { ...paperConfig, patch: 8 }, size: { height: 160, width: 320 }, batch: 2 },
  ],
  ["a tiny network, masked loss, no dropout", { ...tinyLearning, loss: "masked", normalizeTarget: true, dropout: 0 }],
  ["a tiny network, stage 2", { ...tinyLearning, stage: 2 }],
  ["a tiny network, one sample", { ...tinyLearning, batch: 1 }],
  ["the paper's network, mixed precision", { ...learning, precision: "mixed" }],
  ["a tiny network, stage 2, mixed precision", { ...tinyLearning, stage: 2, precision: "mixed" }],
];

// The null backend has half a gigabyte of memory: small batches.
describe("every kernel of training compiles", () => {
  for (const [name, options] of trainings) {
    it(`${name}: as a program, and for every target`, async () => {
      const program = await Program.compile(gpu(), trainingGraph(gpu(), options).graph);
      expect(program.dispatchCount).toBeGreaterThan(100);
      program.submit();
      program.submit(optimizerPhase);
      await gpu().finish();
      program.close();
      for (const [where, target] of targets()) {
        if (options.precision === "mixed" && !target.features.has("shader-f16")) continue;
        await checkKernels(where, target, trainingGraph(target, options).graph);
      }
    });
  }
});

describe("every kernel compiles", () => {
  it("the null backend is taken for a GPU, has features that no software adapter has, and the least limits", () => {
    expect(gpu().adapter.kind).toBe("gpu");
    for (const feature of ["subgroups", "shader-f16"]) expect(gpu().features).toContain(feature);
    expect(gpu().limits.maxStorageBuffersPerShaderStage).toBe(storageBuffers);
    expect(gpu().limits.maxComputeInvocationsPerWorkgroup).toBe(256);
    expect(gpu().limits.maxComputeWorkgroupStorageSize).toBe(16384);
  });

  for (const [name, options] of graphs) {
    it(`${name}: as a program`, async ({ skip }) => {
      const { graph } = modelGraph(gpu(), options);
      const kernels = planMemory(graph).nodes.flatMap((node) => node.op.kernels(node, gpu()));
      const tooMany = kernels.find((kernel) => declaredBindings(kernel.wgsl).length > storageBuffers);
      if (tooMany) skip(`${tooMany.label} binds more than ${storageBuffers} buffers`);
      const program = await Program.compile(gpu(), graph);
      expect(program.dispatchCount).toBeGreaterThan(20);
      program.submit();
      await gpu().finish();
      program.close();
    });

    it(`${name}: for every target, with bindings that match`, async () => {
      for (const [where, target] of targets()) {
        if (options.dtype === "f16" && !target.features.has("shader-f16")) continue;
        await checkKernels(where, target, modelGraph(target, options).graph);
      }
    });
  }

  it("no kernel binds more buffers than each device has to offer", () => {
    const over = new Set<string>();
    for (const config of [tinyConfig, { ...tinyConfig, studentDepth: 0 }]) {
      for (const [where, target] of targets()) {
        const all = { ...tiny, config, maskedOnly: true, losses: { normalizeTarget: true } };
        for (const node of planMemory(modelGraph(target, all).graph).nodes) {
          for (const { label, wgsl } of node.op.kernels(node, target)) {
            const count = declaredBindings(wgsl).length;
            if (count > storageBuffers) over.add(`${label} on ${where}: ${count}`);
          }
        }
      }
    }
    expect([...over]).toEqual([]);
  });
});

describe("every variant compiles", () => {
  const unit = { input: "f16", result: "f32", m: 16, n: 16, k: 16 } as const;
  /** A GPU with matrix units and a GPU's workgroup memory, whose tuning table has this choice. */
  const choosing = (key: string, name: string): Target => {
    const { adapter, features } = gpu();
    const own: Partial<GPUSupportedLimits> = { maxComputeWorkgroupStorageSize: 49152 };
    const limits = new Proxy(gpu().limits, { get: (of, name) => Reflect.get(own, name) ?? Reflect.get(of, name) });
    const tuning = new Map([[key, name]]);
    return { adapter: { ...adapter, kind: "gpu", subgroupSize: 32, matrixUnits: [unit] }, limits, features, tuning };
  };

  for (const dtype of ["f32", "f16"] as const) {
    it(`of the paper's network in ${dtype}`, async () => {
      expect(gpu().features).toContain("chromium-experimental-subgroup-matrix");
      const { graph } = modelGraph(choosing("", ""), { ...full, dtype });
      const kinds = new Set<string>();
      const done = new Set<string>();
      for (const node of planMemory(graph).nodes) {
        const { key, names } = node.op.variants?.(node, choosing("", "")) ?? { key: "", names: [] };
        for (const name of names) {
          for (const kernel of node.op.kernels(node, choosing(key, name))) {
            if (done.has(kernel.wgsl)) continue;
            done.add(kernel.wgsl);
            kinds.add(`${node.op.name} ${name.split(" ")[0]}`);
            // As modules only: this device limits the workgroup memory and subgroups of pipelines.
            await validate(`${node.name}, ${name}`, kernel.wgsl);
          }
        }
      }
      expect([...kinds].sort()).toEqual(
        [
          ...["attention plain", "attention tiled", "headErrors plain", "headErrors tiled"],
          ...["linear plain", "linear tiled", "patchEmbed plain", "patchEmbed tiled"],
          ...(dtype === "f16"
            ? ["attention matrix", "headErrors matrix", "linear matrix", "patchEmbed matrix"]
            : ["attention split", "headErrors split", "linear split", "patchEmbed split"]),
        ].sort(),
      );
    });
  }
});

/** Compiles what a target would run, and checks bindings and workgroups. */
async function checkKernels(where: string, target: Target, graph: Graph): Promise<void> {
  for (const node of planMemory(graph).nodes) {
    for (const kernel of node.op.kernels(node, target)) {
      const what = `${where}: ${node.name} (${kernel.label})`;
      const declared = declaredBindings(kernel.wgsl);
      const bound = Object.keys(kernel.bindings).filter((name) => kernel.bindings[name]);
      expect(bound.sort(), what).toEqual(declared.map((d) => d.name).sort());
      if (declared.length <= storageBuffers) await gpu().pipeline(what, kernel.wgsl, kernel.entryPoint);
      else await validate(what, kernel.wgsl);
      for (const size of kernel.workgroups) {
        expect(size, what).toBeGreaterThan(0);
        expect(size, what).toBeLessThanOrEqual(65535);
      }
    }
  }
  await gpu().finish();
}

/** Checks WGSL alone, for a kernel whose bindings this device cannot lay out. */
async function validate(what: string, wgsl: string): Promise<void> {
  const info = await gpu().device.createShaderModule({ label: what, code: wgsl }).getCompilationInfo();
  expect(
    info.messages.filter((m) => m.type === "error").map((m) => `line ${m.lineNum}: ${m.message}`),
    what,
  ).toEqual([]);
}
