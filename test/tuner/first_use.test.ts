import { beforeEach, describe, expect, it, vi } from "vitest";
import { activationType } from "../../src/detector/settings.js";
import { InputError } from "../../src/errors.js";
import type { Gpu, Target } from "../../src/gpu/gpu.js";
import { Graph, type NoAttrs, type Node, type Op } from "../../src/graph/graph.js";
import { planMemory } from "../../src/graph/plan.js";
import { linearOp } from "../../src/ops/linear.js";
import { FirstUse, type FirstUseOptions } from "../../src/tuner/first_use.js";
import { checkHalf, type HalfCheck, halfKey } from "../../src/tuner/half_check.js";
import { asGpu, testAdapter, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { modelGraph, tinyConfig } from "../support/model.js";

const real = await vi.importActual<typeof import("../../src/tuner/half_check.js")>("../../src/tuner/half_check.js");
vi.mock(import("../../src/tuner/half_check.js"), async (original) => ({ ...(await original()), checkHalf: vi.fn() }));

const gpu = useGpu(testAdapter, { guarded: false });
const nothing = useGpu("null");

/** A device that counts as a GPU, and the choices that it was given to keep. */
function device(of = gpu()): { gpu: Gpu; kept: Map<string, string>[] } {
  const kept: Map<string, string>[] = [];
  const own = asGpu(of);
  own.keepTuning = async (choices) => kept.push(new Map(choices));
  return { gpu: own, kept };
}

/**
 * An op for tests, y = 2 x.
 * @param ways code of each variant, by name
 * @param compiled called with each variant that is compiled
 */
function scaleOp(key: string, ways: Record<string, string>, flops = 1, compiled: (name: string) => void = () => {}) {
  const op: Op<NoAttrs, "x"> = {
    name: "scale",
    outputs: ({ x }) => [{ shape: x.shape, dtype: "f32" }],
    kernels: ({ inputs: { x }, outputs: [y] }, target) => {
      const name = target.tuning?.get(key) ?? Object.keys(ways)[0];
      compiled(name);
      return [
        {
          label: `scale (${name})`,
          wgsl: `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32) fn scale(@builtin(global_invocation_id) id: vec3<u32>) { let value = x[id.x]; ${ways[name]} }`,
          entryPoint: "scale",
          bindings: { x, y },
          workgroups: [1, 1, 1],
        },
      ];
    },
    cost: () => ({ flops, bytes: 256 }),
    variants: () => ({ key, names: Object.keys(ways) }),
  };
  return op;
}

const fast = "y[id.x] = 2.0 * value;";
/** The same, some ten thousand times slower. */
const slow = `var sum = 0.0;
for (var i = 0u; i < 200000u; i++) { sum = fma(f32(i), 1e-9, sum); }
y[id.x] = 2.0 * value + min(0.0, sum);`;
const wrong = "y[id.x] = 2.1 * value;";

function nodesOf(target: Target, ops: readonly Op<NoAttrs, "x">[]): readonly Node[] {
  const graph = new Graph(target);
  const x = graph.input("x", [32], "f32");
  for (const [i, op] of ops.entries()) graph.output(`y${i}`, graph.apply(op, { x }, {})[0]);
  return graph.nodes;
}

function firstUse(of: Gpu, options: FirstUseOptions = {}): { use: FirstUse; lines: string[] } {
  const lines: string[] = [];
  return { use: new FirstUse(of, { onNotice: (line) => lines.push(line), ...options }), lines };
}

describe("the first use of a GPU", () => {
  it("chooses the fastest right variant, reports wrong ones, keeps the choice, and measures only once", async () => {
    const { gpu: own, kept } = device();
    const ways = { "tiled 1": slow, plain: slow, "matrix 1": wrong, "matrix 2": fast };
    const nodes = nodesOf(own, [scaleOp("scale f32 32", ways)]);
    const { use, lines } = firstUse(own);
    expect(await use.tune(nodes)).toBe(true);
    expect(lines).toEqual([
      `checking kernels on ${own.adapter.description}: at most 5 s, once per model and size`,
      'kernel variant "matrix 1" of scale f32 32 is not used: its result is 0.050 away from that of "plain"',
    ]);
    const found = new Map([["scale f32 32", "matrix 2"]]);
    expect(kept).toEqual([found]);
    expect(own.tuning.get("scale f32 32")).toBe("matrix 2");
    const again = firstUse(own);
    expect(await again.use.tune(nodes)).toBe(false);
    expect(again.lines).toEqual([]);
    expect(kept).toHaveLength(1);
  });

  it("refuses a corrupted variant of a real op, even the default", { timeout: 240_000 }, async () => {
    const { gpu: own } = device();
    const broken = "tiled 32x32 by 64";
    const corrupted: typeof linearOp = {
      ...linearOp,
      kernels: (call, target) =>
        linearOp.kernels(call, target).map((kernel) => ({
          ...kernel,
          // One of every four products takes the wrong column of x.
          wgsl: kernel.label === "linear (tiled)" ? kernel.wgsl.replaceAll("(a.w)", "(a.z)") : kernel.wgsl,
        })),
    };
    const graph = new Graph(own);
    const inputs = {
      x: graph.input("x", [1, 33, 32], "f32"),
      weight: graph.input("weight", [1, 32, 32], "f32"),
      bias: graph.input("bias", [1, 32], "f32"),
    };
    graph.output("y", graph.apply(corrupted, inputs, {})[0]);
    expect(linearOp.variants!(graph.nodes[0] as never, own).names.slice(0, 2)).toEqual([broken, "plain"]);
    const { use, lines } = firstUse(own);
    await use.tune(graph.nodes);
    // An adapter with matrix units has more to choose from.
    expect(own.tuning.get("linear f32 1x33x32x32")).toMatch(/^(plain|split)/);
    const line = 'kernel variant "tiled 32x32 by 64" of linear f32 1x33x32x32 is not used: its result is ';
    expect(lines[1]?.slice(0, line.length)).toBe(line);
    expect(lines).toHaveLength(2);
  });

  describe("with a clock on which each program takes 400 ms", () => {
    let now = 0;
    let compiled: string[] = [];
    beforeEach(() => {
      now = 0;
      compiled = [];
    });
    /** Calls in rising order of cost. */
    const graph = (own: Gpu, count: number) =>
      nodesOf(
        own,
        Array.from({ length: count }, (_, i) => {
          const key = `scale f32 ${i}`;
          return scaleOp(key, { "tiled 1": fast, plain: fast, "matrix 1": fast }, i + 1, (name) => {
            compiled.push(`${i} ${name}`);
            now += 400;
          });
        }),
      );

    it("keeps to its budget: times the most expensive calls, checks the next, leaves the rest at the default", async () => {
      const { gpu: own, kept } = device();
      const { use } = firstUse(own, { now: () => now });
      await use.tune(graph(own, 12));
      expect(now).toBeLessThanOrEqual(5000);
      expect(now).toBeGreaterThan(4000);
      expect(compiled.slice(0, 3).sort()).toEqual(["11 matrix 1", "11 plain", "11 tiled 1"]);
      const calls = [...new Set(compiled.map((each) => Number(each.split(" ")[0])))];
      expect(calls).toEqual(calls.toSorted((a, b) => b - a));
      expect(calls.length).toBeGreaterThan(3);
      expect(calls.length).toBeLessThan(12);
      // For the last calls there is time for one variant besides the plain one.
      const last = compiled.filter((each) => each.startsWith(`${calls.at(-1)} `));
      expect(last).toContain(`${calls.at(-1)} plain`);
      expect(last).toHaveLength(2);
      // Nothing is measured at the next start.
      expect(kept[0]?.size).toBe(12);
      expect(kept[0]?.get("scale f32 0")).toBe("tiled 1");
      compiled = [];
      expect(await firstUse(own).use.tune(graph(own, 12))).toBe(false);
      expect(compiled).toEqual([]);
    });

    it("counts all calls against one budget, and begins nothing that it has no time for", async () => {
      const { gpu: own } = device();
      const { use, lines } = firstUse(own, { now: () => now, budgetMs: 1500 });
      await use.tune(graph(own, 1));
      compiled = [];
      now += 60_000; // Time between two calls does not count.
      await use.tune(graph(own, 3));
      expect(compiled).toEqual([]);
      expect(lines).toEqual([`checking kernels on ${own.adapter.description}: at most 2 s, once per model and size`]);
    });

    it("stops at the signal, and keeps what it has found", async () => {
      const { gpu: own, kept } = device();
      const controller = new AbortController();
      const { use } = firstUse(own, {
        now: () => {
          if (now > 1000) controller.abort(new Error("enough"));
          return now;
        },
      });
      await expect(use.tune(graph(own, 5), controller.signal)).rejects.toThrow("enough");
      expect(kept.map((choices) => [...choices.keys()])).toEqual([["scale f32 4"]]);
    });
  });

  it("on an adapter that computes nothing, prints one line, chooses nothing and keeps nothing", async () => {
    const idle = device();
    const nodes = nodesOf(idle.gpu, [scaleOp("scale f32 32", { "tiled 1": "_ = value;", plain: "_ = value;" })]);
    const { use, lines } = firstUse(idle.gpu);
    expect(await use.tune(nodes)).toBe(false);
    expect(lines.slice(1)).toEqual([
      `${idle.gpu.adapter.description} computes wrongly (scale f32 32, "plain": its result is zero throughout): kernels are neither checked nor tuned`,
    ]);
    expect(idle.kept).toEqual([]);
    expect(await use.tune(nodes)).toBe(false);
    expect(lines).toHaveLength(2);
    // The same on Dawn's null backend, with a real model.
    const none = device(nothing());
    const before = none.gpu.tuning;
    const sizes = { source: { height: 64, width: 64 }, size: { height: 64, width: 64 }, batch: 2 };
    const { graph } = modelGraph(none.gpu, {
      ...{ ...sizes, config: { ...tinyConfig, encoderWidth: 64 }, norm: "L2", masking: "random", maskedOnly: false },
    });
    const other = firstUse(none.gpu);
    expect(await other.use.tune(planMemory(graph).nodes)).toBe(false);
    expect(other.lines).toHaveLength(2);
    expect(other.lines[1]).toContain(" computes wrongly (");
    expect(none.kept).toEqual([]);
    expect(none.gpu.tuning).toBe(before);
  });

  it("continues if the choice cannot be saved, and says so", async () => {
    const { gpu: own } = device();
    own.keepTuning = async () => {
      throw new InputError("/cache: cannot be written (read-only)");
    };
    const { use, lines } = firstUse(own);
    expect(await use.tune(nodesOf(own, [scaleOp("scale f32 32", { "tiled 1": slow, plain: fast })]))).toBe(true);
    expect(own.tuning.get("scale f32 32")).toBe("plain");
    expect(lines[1]).toBe("the choice of kernels could not be saved: /cache: cannot be written (read-only)");
  });

  it("does nothing on a software adapter, or if a kind of kernels is forced", async () => {
    const ways = { "tiled 1": wrong, plain: fast };
    const forced = device().gpu;
    forced.forcedKind = "tiled";
    for (const own of [gpu(), forced]) {
      const { use, lines } = firstUse(own);
      expect(await use.tune(nodesOf(own, [scaleOp("scale f32 32", ways)]))).toBe(false);
      expect(lines).toEqual([]);
    }
  });
});

describe("float16 on NVIDIA", () => {
  /** A device that claims to be from NVIDIA and to have float16. */
  function card(): { gpu: Gpu; kept: Map<string, string>[] } {
    const { gpu: base, kept } = device();
    const own = Object.create(base, {
      adapter: { value: { ...base.adapter, vendor: "nvidia" } },
      features: { value: new Set([...base.features, "shader-f16"]) },
    }) as Gpu;
    own.tuning = new Map();
    return { gpu: own, kept };
  }
  const faked = vi.mocked(checkHalf);
  beforeEach(() => {
    faked.mockReset();
  });

  it("is used once its check has passed, and the answer is kept", async () => {
    const { gpu: own, kept } = card();
    expect(activationType("auto", own)).toBe("f32");
    faked.mockResolvedValue({ computes: true });
    await firstUse(own).use.checkHalf();
    expect(activationType("auto", own)).toBe("f16");
    expect(kept).toEqual([new Map([[halfKey, "right"]])]);
    await firstUse(own).use.checkHalf();
    await firstUse(card().gpu).use.checkHalf("f32");
    expect(faked).toHaveBeenCalledTimes(1);
  });

  const faults: [string, HalfCheck, string, boolean][] = [
    ["fails its check", { computes: true, fault: "0.3 away from float32" }, "float16 is wrong on ", true],
    ["cannot be checked", { computes: false }, " does not compute: float32 is used", false],
  ];
  for (const [what, result, line, isKept] of faults) {
    it(`that ${what} is replaced by float32 with one line, and refused if asked for`, async () => {
      const { gpu: own, kept } = card();
      faked.mockResolvedValue(result);
      const { use, lines } = firstUse(own);
      await use.checkHalf();
      expect(lines).toHaveLength(2);
      expect(lines[1]).toContain(line);
      // If float16 was asked for, an error follows instead of a line.
      const again = card();
      const other = firstUse(again.gpu);
      await other.use.checkHalf("f16");
      expect(other.lines).toHaveLength(1);
      expect(() => activationType("f16", again.gpu)).toThrow("float16 failed its check");
      expect(activationType("auto", own)).toBe("f32");
      expect(() => activationType("f16", own)).toThrow(
        new InputError(`float16 failed its check on adapter "${own.adapter.description}": use dtype f32 there`),
      );
      expect(activationType("f32", own)).toBe("f32");
      expect(kept).toEqual(isKept ? [new Map([[halfKey, "wrong"]])] : []);
    });
  }

  it("is used unchecked only if asked for; on other vendors it needs no check", async () => {
    const { gpu: own } = card();
    expect(activationType("auto", own)).toBe("f32");
    expect(activationType("f16", own)).toBe("f16");
    own.forcedKind = "matrix";
    expect(activationType("auto", own)).toBe("f16");
    const amd: Target = {
      ...{ adapter: { ...own.adapter, vendor: "amd" }, features: own.features, limits: own.limits },
    };
    expect(activationType("auto", amd)).toBe("f16");
    for (const of of [gpu(), { ...amd, adapter: { ...amd.adapter, kind: "lavapipe" as const } }]) {
      expect(activationType("auto", of)).toBe("f32");
    }
    await firstUse(gpu()).use.checkHalf();
    await firstUse(own).use.checkHalf();
    expect(faked).not.toHaveBeenCalled();
  });

  it("passes its check if it is right, and fails if a kernel is wrong", { timeout: 600_000 }, async (test) => {
    needsHalf(gpu(), test);
    const { gpu: own } = device();
    expect(await real.checkHalf(own)).toEqual({ computes: true });
    // float16 layer norms that forget to shift.
    const pipeline = own.pipeline.bind(own);
    own.pipeline = (label, wgsl, entryPoint) =>
      pipeline(
        label,
        wgsl.includes("enable f16") ? wgsl.replace("* gamma[i] + beta[i]", "* gamma[i] * 1.1") : wgsl,
        entryPoint,
      );
    const { computes, fault } = await real.checkHalf(own);
    expect(computes).toBe(true);
    expect(fault).toMatch(/^0\.\d+ away from float32$/);
  });

  it("cannot be checked on a backend that computes nothing", async () => {
    expect(await real.checkHalf(nothing())).toEqual({ computes: false });
  });
});
