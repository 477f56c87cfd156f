import { describe, expect, it } from "vitest";
import type { Gpu, MatrixUnit, Target } from "../../src/gpu/gpu.js";
import type { Op, Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { attentionOp } from "../../src/ops/attention.js";
import { type AttentionShape, attentionKey, attentionVariants, linearVariants } from "../../src/ops/variants.js";
import { casesFor, evaluate, testAdapter, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { checkLinear, type LinearCase } from "../support/linear_case.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention } from "../support/reference.js";

/** The tiled variants, which GPUs get, on the adapter of the tests, which would choose others. */
const gpu = useGpu();

/** A target that has what GPUs have. @param lanes of a subgroup */
function gpuTarget({ adapter, features, limits }: Gpu, lanes: number, variant: [key: string, name: string]): Target {
  const matrixUnits: MatrixUnit[] = [{ input: "f16", result: "f32", m: 16, n: 16, k: 16 }];
  return {
    adapter: { ...adapter, kind: "gpu", subgroupSize: lanes, matrixUnits },
    features: new Set([...features, "chromium-experimental-subgroup-matrix"]),
    limits,
    tuning: new Map([variant]),
  };
}

/** The op with the kernels of another target. */
function on<A, N extends string, M extends string>(op: Op<A, N, M>, target: Target, label: string): Op<A, N, M> {
  return {
    ...op,
    kernels: (call) => {
      const kernels = op.kernels(call, target);
      for (const kernel of kernels) expect(kernel.label).toBe(label);
      return kernels;
    },
  };
}

const lanes = 32;

const tiles = (): Target => gpuTarget(gpu(), lanes, ["", ""]);

describe("linear layers, tiled", () => {
  // Rows and columns that do not fill a tile; an inner width of one step and of many.
  for (const c of casesFor(
    [
      { batch: 1, m: 70, k: 16, n: 64, variant: "tiled 64x64 by 256" },
      { batch: 3, m: 64, k: 48, n: 100, variant: "tiled 64x64 by 256", normalize: true, gelu: true },
      { batch: 1, m: 131, k: 64, n: 80, variant: "tiled 64x32 by 64", residual: true },
      { batch: 1, m: 33, k: 32, n: 32, variant: "tiled 32x32 by 64", residual: true, period: 11 },
      { batch: 2, m: 100, k: 64, n: 128, variant: "tiled 64x128 by 256", normalize: true, residual: true },
    ] satisfies LinearCase[] as LinearCase[],
    1,
  )) {
    it(`${c.variant}: [${c.batch}, ${c.m}, ${c.k}] → ${c.n}`, { timeout: 120_000 }, () =>
      checkLinear(gpu(), tiles(), c, "f32"),
    );
  }

  it("in float16", { timeout: 120_000 }, async (test) => {
    needsHalf(gpu(), test);
    const variant = "tiled 64x64 by 256";
    await checkLinear(gpu(), tiles(), { batch: 1, m: 70, k: 32, n: 76, variant, residual: true }, "f16");
    await checkLinear(gpu(), tiles(), { batch: 1, m: 70, k: 32, n: 76, variant, normalize: true }, "f16");
  });
});

async function checkAttention(sizes: Omit<AttentionShape, "dtype">, spread: number, variant: string) {
  const { samples, tokens, heads, headWidth } = sizes;
  const width = heads * headWidth;
  const shape: AttentionShape = { dtype: "f32", ...sizes };
  const target = gpuTarget(gpu(), 8, [attentionKey(shape), variant]);
  expect([...attentionVariants(target, shape).keys()]).toContain(variant);
  const random = new Random(tokens + width);
  const plane = samples * tokens * width;
  const qkv = random.floats(3 * plane);
  for (let i = 0; i < plane; i++) qkv[i] *= spread;
  let y: Tensor | undefined;
  const results = await evaluate(gpu(), (bench) => {
    const input = bench.input([3, samples, tokens, width], qkv);
    [y] = bench.graph.apply(on(attentionOp, target, "attention (tiled)"), { qkv: input }, { heads });
    return { y };
  });
  const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray(i * plane, (i + 1) * plane)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const want = attention(q, k, v, { batch: samples, tokens, width, heads });
  expectClose(floatsOf(results.y, y as Tensor), want, spread > 1 ? 3e-5 : 3e-6);
}

describe("attention, tiled", () => {
  // Its shuffles reach 8 lanes, which lavapipe's subgroups have.
  for (const [sizes, spread, variant] of casesFor(
    [
      [{ samples: 2, tokens: 37, heads: 2, headWidth: 32 }, 1, "tiled 16x32 by 64"],
      [{ samples: 1, tokens: 101, heads: 1, headWidth: 64 }, 1, "tiled 16x32 by 64"],
      [{ samples: 1, tokens: 70, heads: 2, headWidth: 32 }, 60, "tiled 16x32 by 32"],
    ] as const,
    1,
  )) {
    const name = `${sizes.samples}×${sizes.tokens} tokens, ${sizes.heads} heads of ${sizes.headWidth}, scores times ${spread}`;
    it(name, { timeout: 240_000 }, async ({ skip }) => {
      if (gpu().adapter.subgroupSize !== 8) skip(`subgroups of ${gpu().adapter.subgroupSize}`);
      await checkAttention(sizes, spread, variant);
    });
  }
});

describe("a lane's registers", () => {
  const named = (vendor: string, device = ""): Target => {
    const target = gpuTarget(gpu(), lanes, ["", ""]);
    const limits = {
      ...limitsOf(target),
      maxComputeWorkgroupStorageSize: 32768,
      maxComputeInvocationsPerWorkgroup: 256,
    };
    return { ...target, adapter: { ...target.adapter, vendor, device, description: "" }, limits };
  };
  const limitsOf = ({ limits }: Target) => limits as unknown as Record<string, number> & GPUSupportedLimits;

  it("leave out the tiles that take more than half of them", () => {
    const shape = { dtype: "f32", batch: 1, m: 6416, k: 256, n: 256 } as const;
    const tiled = (target: Target) => [...linearVariants(target, shape).keys()].filter((name) => /^tiled/.test(name));
    const all = ["64x128 by 256", "128x128 by 256", "64x64 by 256", "128x64 by 256", "64x32 by 64", "32x32 by 64"];
    expect(tiled(named("nvidia"))).toEqual(all.map((tile) => `tiled ${tile}`));
    expect(tiled(named("qualcomm", "adreno"))).toEqual(all.map((tile) => `tiled ${tile}`));
    // 64 sums of 128 registers, or 32 with six vec4s that are loaded ahead, do not do.
    const fewer = all.filter((tile) => !["128x128 by 256", "64x32 by 64"].includes(tile));
    expect(tiled(named("apple"))).toEqual(fewer.map((tile) => `tiled ${tile}`));
    expect(tiled(named("mesa", "apple-m1"))).toEqual(fewer.map((tile) => `tiled ${tile}`));
  });

  it("leave out tiles of attention by the width of a head", () => {
    const tiled = (target: Target, headWidth: number) => {
      const shape = { dtype: "f16", samples: 1, tokens: 401, heads: 4, headWidth } as const;
      return [...attentionVariants(target, shape).keys()].filter((name) => /^tiled/.test(name));
    };
    const narrow = ["tiled 32x32 by 64", "tiled 32x32 by 32", "tiled 16x32 by 64", "tiled 16x32 by 32"];
    expect(tiled(named("amd"), 32)).toEqual(narrow);
    expect(tiled(named("apple"), 32)).toEqual(narrow.filter((name) => name !== "tiled 32x32 by 32"));
    // Eight rows of two vec4s each are more than half of any GPU's.
    expect(tiled(named("amd"), 64)).toContain("tiled 32x64 by 64");
    expect(tiled(named("amd"), 64)).not.toContain("tiled 32x32 by 32");
    expect(tiled(named("apple"), 64)).toContain("tiled 32x64 by 128");
    expect(tiled(named("apple"), 64)).not.toContain("tiled 32x64 by 64");
  });
});

describe("without a tuning table", () => {
  it("a GPU gets tiles, and never matrix units, which have to be measured first", () => {
    const target = {
      ...gpuTarget(gpu(), lanes, ["", ""]),
      features: new Set(["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"]),
    };
    const linears = linearVariants(target, { dtype: "f16", batch: 1, m: 401, k: 256, n: 256 });
    expect([...linears.values()][0]?.kind).toBe("tiled");
    expect([...linears.values()].map((v) => v.kind)).toContain("matrix");
    const attentions = attentionVariants(target, { dtype: "f16", samples: 1, tokens: 401, heads: 4, headWidth: 64 });
    expect([...attentions.values()][0]?.kind).toBe("tiled");
    expect([...attentions.values()].map((v) => v.kind)).toContain("matrix");
  });

  it(`${testAdapter} gets what was measured for it`, () => {
    if (!["swiftshader", "lavapipe"].includes(gpu().adapter.kind)) return;
    const linears = linearVariants(gpu(), { dtype: "f32", batch: 1, m: 401, k: 256, n: 256 });
    expect(new Set([...linears.values()].map((v) => v.kind))).toEqual(new Set(["subgroup"]));
  });
});
