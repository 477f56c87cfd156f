import { expect, it } from "vitest";
import type { AdapterDescription, Target } from "../../src/gpu/gpu.js";
import { Graph, type Kernel, type NoAttrs, type Op, type Tensor } from "../../src/graph/graph.js";
import { addOp } from "../../src/ops/add.js";
import { linearOp, linearWeights } from "../../src/ops/linear.js";
import { attentionVariants, headErrorsVariants, linearVariants, patchEmbedVariants } from "../../src/ops/variants.js";
import { choicesFor, type TuningTable, tuningTable } from "../../src/tuner/table.js";
import { shippedTables } from "../../src/tuner/tables/index.js";
import { fastest, tune } from "../../src/tuner/tuner.js";
import { asGpu, casesFor, testAdapter, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu(testAdapter, { guarded: false });

it("measures each call once, takes the fastest variant, and frees all memory", { timeout: 120_000 }, async () => {
  const before = gpu().allocatedBytes;
  const graph = new Graph(gpu());
  const random = new Random(1);
  const layer = { weight: random.floats(64 * 64), bias: random.floats(64) };
  const { weight, bias } = linearWeights(graph, "layer", [layer]);
  let [x] = [graph.input("x", [1, 40, 64], "f32")];
  for (let i = 0; i < 2; i++) [x] = graph.apply(linearOp, { x, weight, bias }, {});
  graph.output("y", graph.apply(addOp, { a: x, b: x }, {})[0]);
  const seen: string[] = [];
  const calls = await tune(gpu(), graph.nodes, { onCall: ({ key }, total) => seen.push(`${key} of ${total}`) });
  expect(seen).toEqual(["linear f32 1x40x64x64 of 1"]);
  const [call] = calls;
  expect(call).toMatchObject({ key: "linear f32 1x40x64x64", count: 2 });
  const names = linearOp.variants?.(graph.nodes[0] as never, gpu()).names;
  expect(call.variants.map((v) => v.name)).toEqual(names);
  for (const { ms, fault } of call.variants) {
    expect(fault).toBeUndefined();
    expect(ms).toBeGreaterThan(0);
    expect(ms).toBeLessThan(60_000);
  }
  const shortest = Math.min(...call.variants.map((v) => v.ms));
  const best = call.variants.find((v) => v.name === call.best)!;
  if (best === call.variants[0]) expect(best.ms).toBeLessThan(1.05 * shortest);
  else expect(best.ms).toBe(shortest);
  expect(gpu().allocatedBytes).toBe(before);
  expect(await tune(gpu(), graph.nodes, { known: new Map([[call.key, call.best]]) })).toEqual([]);
  // An unknown name is ignored.
  expect(await tune(gpu(), graph.nodes, { known: new Map([[call.key, "subgroup 999"]]) })).toHaveLength(1);
});

it("takes the fastest right variant, but leaves the default only for a clearly faster one", () => {
  const named = (name: string, ms: number, fault?: string) => ({ name, ms, ...(fault && { fault }) });
  expect(fastest([named("usual", 10), named("a", 9), named("b", 8)])).toBe("b");
  expect(fastest([named("usual", 10), named("a", 9.6), named("b", 9.9)])).toBe("usual");
  expect(fastest([named("usual", 10), named("a", 5, "wrong"), named("b", 9)])).toBe("b");
  expect(fastest([named("usual", 1, "wrong"), named("a", 9), named("b", 8.9)])).toBe("b");
});

it("measures a normalising layer with sums that match its weight", async () => {
  const device = asGpu(gpu());
  const graph = new Graph(device);
  const inputs = {
    x: graph.input("x", [2, 40, 64], "f32"),
    weight: graph.input("weight", [2, 36, 64], "f32"),
    bias: graph.input("bias", [2, 36], "f32"),
    columnSums: graph.input("columnSums", [2, 36], "f32"),
  };
  graph.output("y", graph.apply(linearOp, inputs, { normalize: true, epsilon: 1e-6 })[0]);
  const valuesOf = ({ shape }: Tensor) => new Random(3).floats(shape.reduce((a, b) => a * b));
  const { x, weight, bias, columnSums } = inputs;
  const values = { x: valuesOf(x), weight: valuesOf(weight), bias: valuesOf(bias), columnSums: valuesOf(columnSums) };
  linearOp.variants!(graph.nodes[0] as never, device).agree!(values);
  for (const [i, sum] of values.columnSums.entries()) {
    const [batch, column] = [Math.floor(i / 36), i % 36];
    const own = Array.from({ length: 64 }, (_, k) => values.weight[(batch * 36 + column) * 64 + k]);
    expect(sum).toBeCloseTo(
      own.reduce((a, b) => a + b),
      4,
    );
  }
  const [call] = await tune(device, graph.nodes);
  expect(call.variants.map(({ fault }) => fault)).toEqual(call.variants.map(() => undefined));
});

it("refuses a variant that is wrong or does not run, however fast it is", async () => {
  const graph = new Graph(gpu());
  const [x] = [graph.input("x", [1, 8, 4], "f32")];
  const kernel = (y: Tensor, expression: string): Kernel => ({
    label: "scale",
    wgsl: `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32) fn scale(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = ${expression}; }`,
    entryPoint: "scale",
    bindings: { x, y },
    workgroups: [1, 1, 1],
  });
  const ways: Record<string, string> = { plain: "2.0 * x[id.x]", wrong: "2.1 * x[id.x]", broken: "nonsense" };
  const op: Op<NoAttrs, "x"> = {
    name: "scale",
    outputs: ({ x }) => [{ shape: x.shape, dtype: "f32" }],
    kernels: ({ inputs: { x }, outputs: [y] }, target) => {
      const own = kernel(y, ways[target.tuning?.get("scale") ?? "plain"]);
      return [{ ...own, bindings: { ...own.bindings, x } }];
    },
    cost: () => ({ flops: 32, bytes: 256 }),
    variants: () => ({ key: "scale", names: ["wrong", "broken", "plain"] }),
  };
  graph.output("y", graph.apply(op, { x }, {})[0]);
  const [call] = await tune(gpu(), graph.nodes);
  expect(call?.best).toBe("plain");
  const [wrong, broken] = call.variants;
  expect(wrong?.fault).toBe('its result is 0.050 away from that of "plain"');
  expect(broken?.fault).toMatch(/^kernel scale does not compile: /);
});

it("runs the table's choice, or the default if the table names an unknown variant", () => {
  for (const device of casesFor([asGpu(gpu()), gpu()])) {
    const graph = new Graph(device);
    const inputs = {
      x: graph.input("x", [1, 100, 64], "f32"),
      weight: graph.input("weight", [1, 64, 64], "f32"),
      bias: graph.input("bias", [1, 64], "f32"),
    };
    graph.apply(linearOp, inputs, {});
    const node = graph.nodes[0];
    const { key, names } = linearOp.variants!(node as never, device);
    const wgsl = (choice?: string) => {
      const { adapter, features, limits } = device;
      const tuning = new Map(choice === undefined ? [] : [[key, choice]]);
      return node.op.kernels(node, { adapter, features, limits, tuning })[0]?.wgsl;
    };
    expect(wgsl(names[0])).toBe(wgsl());
    expect(wgsl("nonsense")).toBe(wgsl());
    expect(names.length).toBeGreaterThan(2);
    expect(new Set(names.map(wgsl)).size).toBeGreaterThan(2);
  }
});

it("ignores a table of another adapter, version or form", () => {
  const adapter: AdapterDescription = {
    ...{ vendor: "v", architecture: "a", device: "d", description: "GPU 1, driver 2", kind: "gpu" },
  };
  const choices = new Map([
    ["linear b", "plain"],
    ["linear a", "tiled"],
  ]);
  const table = tuningTable(adapter, choices);
  expect(Object.keys(table.choices)).toEqual(["linear a", "linear b"]);
  expect(choicesFor(adapter, JSON.parse(JSON.stringify(table)))).toEqual({ thorough: choices, quick: new Map() });
  const quick = new Map([["linear c", "matrix"]]);
  const both = JSON.parse(JSON.stringify(tuningTable(adapter, choices, quick)));
  expect(choicesFor(adapter, both)).toEqual({ thorough: choices, quick });
  expect(choicesFor(adapter, { ...both, quick: { a: 1 } })).toBeUndefined();
  expect(choicesFor({ ...adapter, description: "GPU 1, driver 3" }, table)).toBeUndefined();
  const others = [undefined, null, 7, "text", [], {}, { ...table, version: 0 }, { ...table, format: "other" }];
  for (const other of [...others, { ...table, choices: null }, { ...table, choices: { a: 1 } }]) {
    expect(choicesFor(adapter, other)).toBeUndefined();
  }
});

it.for(shippedTables)("bundled tables are of this version, and name variants that exist", (table) => {
  const { adapter: name } = table as TuningTable;
  const [vendor, architecture, device, description] = name.split(" | ") as [string, string, string, string];
  const kind = description.startsWith("SwiftShader") ? "swiftshader" : "lavapipe";
  const adapter: AdapterDescription = { vendor, architecture, device, description, kind };
  const choices = choicesFor(adapter, table)?.thorough;
  expect(choices?.size).toBeGreaterThan(20);
  const target: Target = {
    adapter: { ...adapter, subgroupSize: kind === "lavapipe" ? 8 : 4 },
    features: new Set(["subgroups"]),
    limits: {} as GPUSupportedLimits,
  };
  for (const [key, choice] of choices ?? []) {
    const [op, dtype, shape] = key.split(" ") as [string, "f32", string];
    const [a, b, c, d] = shape.split("x").map(Number) as [number, number, number, number];
    const named: Record<string, () => ReadonlyMap<string, unknown>> = {
      linear: () => linearVariants(target, { dtype, batch: a, m: b, k: c, n: d }),
      attention: () => attentionVariants(target, { dtype, samples: a, tokens: b, heads: c, headWidth: d }),
      patchEmbed: () => patchEmbedVariants(target, { dtype, batch: a, keep: b, patch: Math.sqrt(c / 9), width: d }),
      headErrors: () => headErrorsVariants(target, { dtype, batch: a, tokens: b, width: c, patch: Math.sqrt(d / 4) }),
    };
    expect([...(named[op]?.().keys() ?? [])], key).toContain(choice);
  }
});
