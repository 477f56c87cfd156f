import { describe, expect, it, type TestContext } from "vitest";
import type { MatrixUnit, Target } from "../../src/gpu/gpu.js";
import type { Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { attentionOp } from "../../src/ops/attention.js";
import { type AttentionShape, attentionKey, attentionVariants } from "../../src/ops/variants.js";
import { evaluate, useGpu } from "../support/gpu.js";
import { activationInput, roundedTo } from "../support/half.js";
import { needsMatrixUnits } from "../support/matrix_units.js";
import { expectClose, Random } from "../support/numbers.js";
import { attention } from "../support/reference.js";
import { onTarget } from "../support/variants.js";

/** Attention on the adapter's matrix units: lavapipe of Mesa 26 has some, SwiftShader has none. */
const gpu = useGpu();

type Sizes = Omit<AttentionShape, "dtype">;

/** The device, taken for a GPU whose tuning table has one entry. */
function targetWith(key: string, name: string): Target {
  const { adapter, features, limits } = gpu();
  return { adapter: { ...adapter, kind: "gpu" }, features, limits, tuning: new Map([[key, name]]) };
}

/** Runs a variant on [q, k, v], and compares with softmax(q kᵀ) v in float64. */
async function check(
  sizes: Sizes,
  variant: string,
  tolerance: number,
  qkv: Float32Array<ArrayBuffer>,
  test: TestContext,
): Promise<void> {
  const [kind] = variant.split(" ") as [string];
  needsMatrixUnits(gpu(), test);
  const { samples, tokens, heads, headWidth } = sizes;
  const width = heads * headWidth;
  const dtype = kind === "matrix" ? "f16" : "f32";
  const shape: AttentionShape = { dtype, ...sizes };
  const target = targetWith(attentionKey(shape), variant);
  expect([...attentionVariants(target, shape).keys()]).toContain(variant);
  const given = roundedTo(dtype, qkv);
  let y: Tensor | undefined;
  const results = await evaluate(gpu(), (bench) => {
    const input = activationInput(bench, dtype, [3, samples, tokens, width], given);
    [y] = bench.graph.apply(onTarget(attentionOp, target, `attention (${kind})`), { qkv: input }, { heads });
    return { y };
  });
  const plane = samples * tokens * width;
  const [q, k, v] = [0, 1, 2].map((i) => given.subarray(i * plane, (i + 1) * plane)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const want = attention(q, k, v, { batch: samples, tokens, width, heads });
  expectClose(floatsOf(results.y, y as Tensor), want, tolerance);
}

/**
 * Values in [-1, 1), changed by `change`, which gets the plane (0: q, 1: k, 2: v), the token and
 * the column in the head.
 */
function inputs(
  { samples, tokens, heads, headWidth }: Sizes,
  change: (value: number, plane: number, token: number, d: number) => number = (value) => value,
): Float32Array<ArrayBuffer> {
  const width = heads * headWidth;
  const random = new Random(tokens + width);
  return random.floats(3 * samples * tokens * width).map((value, i) => {
    const token = Math.floor(i / width) % tokens;
    return change(value, Math.floor(i / (samples * tokens * width)), token, i % headWidth);
  });
}

const float16 = 4e-4;
const float32 = 1e-6;

describe("attention on the adapter's matrix units", () => {
  for (const [sizes, variant] of [
    [{ samples: 1, tokens: 401, heads: 2, headWidth: 64 }, "matrix 32 by 4"],
    [{ samples: 2, tokens: 101, heads: 2, headWidth: 64 }, "matrix 64 by 4"],
    [{ samples: 1, tokens: 801, heads: 1, headWidth: 32 }, "matrix 64 by 4"],
    [{ samples: 2, tokens: 64, heads: 2, headWidth: 32 }, "matrix 32 by 4"],
    [{ samples: 3, tokens: 21, heads: 3, headWidth: 16 }, "matrix 32 by 8"],
    [{ samples: 2, tokens: 1, heads: 4, headWidth: 16 }, "matrix 32 by 2"],
    [{ samples: 1, tokens: 101, heads: 2, headWidth: 64 }, "split 32 by 8"],
    [{ samples: 2, tokens: 97, heads: 2, headWidth: 32 }, "split 64 by 4"],
    [{ samples: 2, tokens: 37, heads: 2, headWidth: 16 }, "split 32 by 2"],
  ] satisfies [Sizes, string][]) {
    const name = `${sizes.samples}×${sizes.tokens} tokens, ${sizes.heads} heads of ${sizes.headWidth}`;
    it(`${variant}: ${name}`, { timeout: 600_000 }, (test) =>
      check(sizes, variant, variant.startsWith("matrix") ? float16 : float32, inputs(sizes), test),
    );
  }

  const sizes: Sizes = { samples: 2, tokens: 101, heads: 2, headWidth: 32 };
  // Scores of some hundreds: float32 itself is this inexact then.
  for (const [variant, tolerance] of [
    ["matrix 32 by 4", float16],
    ["split 32 by 4", 2e-5],
  ] as const) {
    it(`${variant}: no row is lost beside rows of much larger scores`, { timeout: 600_000 }, (test) => {
      // Neighbouring rows: spreads from hundreds to a hundredth, around offsets from -40 to 40.
      const spread = [60, 0.01, 5, -30, 1, 0.001, 20, 0.5];
      const qkv = inputs(sizes, (value, plane, token, d) => {
        if (plane === 1) return d === 0 ? 1 : value;
        if (plane === 2) return value;
        return value * spread[token % 8] + (d === 0 ? (token % 3 === 0 ? -40 : 40) : 0);
      });
      return check(sizes, variant, tolerance, qkv, test);
    });

    it(`${variant}: a maximum that rises in every tile, slowly or by more than float16 holds`, {
      timeout: 600_000,
    }, (test) => {
      const rise = [-8, -1, 0, 1, 4, 16];
      const qkv = inputs(sizes, (value, plane, token, d) => {
        if (d > 0 || plane === 2) return value;
        return plane === 0 ? rise[token % 6] : (16 * token) / sizes.tokens;
      });
      return check(sizes, variant, tolerance, qkv, test);
    });

    it(`${variant}: the mean, if all scores are equal`, { timeout: 600_000 }, (test) => {
      const qkv = inputs(sizes, (value, plane) => (plane === 0 ? 0 : value));
      return check(sizes, variant, tolerance, qkv, test);
    });
  }
});

describe("the tiles", () => {
  const unit = (m: number, n: number, k: number): MatrixUnit => ({ input: "f16", result: "f32", m, n, k });
  const names = (
    adapter: Partial<Target["adapter"]>,
    bytes: number,
    shape: Partial<AttentionShape>,
    features = ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix", "subgroup-size-control"],
  ) => {
    const target: Target = {
      adapter: { vendor: "", architecture: "", device: "", description: "", kind: "gpu", ...adapter },
      features: new Set(features),
      limits: { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: 256 } as GPUSupportedLimits,
    };
    const of: AttentionShape = { dtype: "f16", samples: 1, tokens: 401, heads: 4, headWidth: 64, ...shape };
    return [...attentionVariants(target, of).keys()].filter((name) => /matrix|split/.test(name));
  };
  const nvidia = { subgroupSize: 32, subgroupMaxSize: 32, matrixUnits: [unit(16, 16, 16), unit(16, 8, 16)] };
  const amd = { subgroupMinSize: 32, subgroupMaxSize: 64, matrixUnits: [unit(16, 16, 16)] };

  it("that fit into workgroup memory, the best one first", () => {
    expect(names(nvidia, 49152, {})).toEqual(["matrix 32 by 4", "matrix 64 by 4", "matrix 32 by 8", "matrix 32 by 2"]);
    expect(names(nvidia, 49152, { dtype: "f32" })).toEqual(["split 32 by 8", "split 32 by 4", "split 32 by 2"]);
    expect(names(nvidia, 49152, { dtype: "f32", headWidth: 32 })[0]).toBe("split 32 by 4");
    expect(names(amd, 65536, {})[0]).toBe("matrix 32 by 4");
    expect(names(amd, 65536, { dtype: "f32" })[0]).toBe("split 32 by 8");
    expect(names(nvidia, 16384, {})).toEqual(["matrix 32 by 2"]);
    expect(names(nvidia, 16384, { dtype: "f32" })).toEqual([]);
  });

  it("none for heads that matrices do not divide, or without units", () => {
    expect(names(nvidia, 49152, { headWidth: 8 })).toEqual([]);
    expect(names(nvidia, 49152, { headWidth: 24 })).toEqual([]);
    expect(names({ ...nvidia, matrixUnits: [] }, 49152, {})).toEqual([]);
    expect(names({ ...nvidia, matrixUnits: [unit(16, 16, 16)], subgroupSize: 8 }, 49152, {})).toEqual([]);
    expect(names(amd, 65536, {}, ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"])).toEqual([]);
  });

  it("a matrix variant runs only if a tuning table names it", () => {
    const shape: AttentionShape = { dtype: "f16", samples: 1, tokens: 401, heads: 4, headWidth: 64 };
    const target = targetWith("", "");
    const [first] = attentionVariants({ ...target, adapter: { ...target.adapter, ...nvidia } }, shape).keys();
    expect(first).toMatch(/^(tiled|plain)/);
  });
});
