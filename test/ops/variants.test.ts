import { describe, expect, it } from "vitest";
import type { Target } from "../../src/gpu/gpu.js";
import { describeAdapter } from "../../src/gpu/gpu.js";
import { attentionVariants, linearVariants, matrixUnits } from "../../src/ops/variants.js";
import { adapterInfo, testAdapter, useGpu } from "../support/gpu.js";
import { gpuTarget } from "../support/variants.js";

const gpu = useGpu();

const lanes = 32;

describe("a lane's registers", () => {
  const named = (vendor: string, device = ""): Target => {
    const target = gpuTarget(gpu(), lanes);
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
      ...gpuTarget(gpu(), lanes),
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

describe("matrix units", () => {
  /** Five of the fourteen that webgpu 0.6.2 lists on an RTX 3090 (NVK). */
  const rtx3090 = [
    { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 8 },
    { componentType: "i8", resultComponentType: "i32", M: 8, N: 8, K: 16 },
  ];
  const all = ["subgroups", "subgroup-size-control", "shader-f16", "chromium-experimental-subgroup-matrix"];
  const usable = (sizes: [number, number], features: string[], subgroupMatrixConfigs: unknown = rtx3090) =>
    matrixUnits({
      adapter: describeAdapter(
        adapterInfo({ subgroupMinSize: sizes[0], subgroupMaxSize: sizes[1], subgroupMatrixConfigs } as object),
      ),
      features: new Set(features),
    });

  it("are those of float16 with sums in float32, as a real adapter lists them", () => {
    const sides = [
      [16, 16, 16],
      [16, 8, 16],
      [16, 8, 8],
    ].map(([m, n, k]) => ({ input: "f16", result: "f32", m, n, k, lanes: 32, requested: false }));
    expect(usable([32, 32], all)).toEqual(sides);
  });

  it("are found in the lists of older Dawns too", () => {
    const older = rtx3090.map(({ resultComponentType, ...rest }) => ({ ...rest, resultType: resultComponentType }));
    expect(usable([32, 32], all, older)).toEqual(usable([32, 32], all));
  });

  it("get subgroups of 32 if the adapter has several sizes and lets kernels choose", () => {
    expect(usable([32, 64], all)[0]).toMatchObject({ lanes: 32, requested: true });
    expect(usable([64, 128], all)[0]).toMatchObject({ lanes: 64, requested: true });
    expect(usable([8, 16], all)[0]).toMatchObject({ lanes: 16, requested: true });
  });

  it("are not used if something is missing, and the reason is given", () => {
    const without = (name: string) => all.filter((feature) => feature !== name);
    expect(usable([32, 64], without("subgroup-size-control"))).toBe("the size of a subgroup is unknown");
    expect(usable([32, 32], without("shader-f16"))).toMatch(/float16/);
    expect(usable([32, 32], without("chromium-experimental-subgroup-matrix"))).toBe("WebGPU offers none here");
    expect(usable([32, 32], all, rtx3090.slice(4))).toBe("none multiplies float16 with sums in float32");
    const lavapipe = { kind: "lavapipe", subgroupSize: 16 } as const;
    expect(matrixUnits({ adapter: { ...describeAdapter(adapterInfo({})), ...lavapipe }, features: new Set(all) })).toBe(
      "lavapipe has them with subgroups of 8 only, not of 16 (LP_NATIVE_VECTOR_WIDTH=256 sets that)",
    );
    expect(usable([32, 32], all, [{ ...rtx3090[1], N: 32 }])).toBe("the sides are not 8 or 16: 16x32x16");
  });
});
