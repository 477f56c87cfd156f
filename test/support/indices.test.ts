import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { specialize } from "../../src/gpu/wgsl.js";
import { resolveShader, shaders } from "../../tools/wgsl.js";
import { checkIndices } from "./indices.js";

it("takes the whole extent of matrices, in elements of what they lie in", () => {
  const wgsl = `alias Left = subgroup_matrix_left<f16, K, 16>;
alias Sums = subgroup_matrix_result<f32, 8, 16>;
const K = 8u;
var<workgroup> tile: array<vec4<u32>, 64>;
@group(0) @binding(0) var<storage, read> x: array<f16>;
fn f(at: u32) {
  let a = subgroupMatrixLoad<Left, row_major>(&tile, at + K, 9u);
  let b = subgroupMatrixLoad<Left, col_major>(&x, at, K);
  var sums: array<Sums, 2>;
  subgroupMatrixStore<row_major>(&tile, at, sums[at], 4u);
}`;
  const { wgsl: checked, sites } = checkIndices(wgsl, 10);
  expect(sites).toEqual([
    "subgroupMatrixLoad(tile, at + K, 9u)",
    "subgroupMatrixLoad(x, at, K)",
    "subgroupMatrixStore(tile, at, 4u)",
    "sums[at]",
  ]);
  // 16 rows of 8 halves, 16 bytes each: one element; 8 columns of 16 halves; 16 rows of 8 floats:
  // two elements.
  expect(checked).toContain(
    "(&tile, checkedExtent_(outside_, u32(at + K), (u32(16) - 1u) * u32(9u) + (u32(K) * 2u + 15u) / 16u, u32(64), 10u), 9u)",
  );
  expect(checked).toContain(
    "(&x, checkedExtent_(outside_, u32(at), (u32(K) - 1u) * u32(K) + (u32(16) * 2u + 1u) / 2u, arrayLength(&x), 11u), K)",
  );
  expect(checked).toContain(
    "(&tile, checkedExtent_(outside_, u32(at), (u32(16) - 1u) * u32(4u) + (u32(8) * 4u + 15u) / 16u, u32(64), 12u), sums[checkedIndex_(outside_, u32(at), u32(2), 13u)], 4u)",
  );
});

for (const file of readdirSync(shaders).filter((name) => name.endsWith(".wgsl"))) {
  it(`finds what is indexed in ${file}`, () => {
    const wgsl = specialize(resolveShader(file).text, {});
    const { sites } = checkIndices(wgsl, 0);
    const code = wgsl.replace(/\/\/[^\n]*/g, "");
    // Every bound array, and every one of a workgroup, that is used is indexed somewhere, or is
    // where a matrix lies.
    for (const [, name] of code.matchAll(/var<(?:storage, \w+|workgroup)> (\w+): array</g)) {
      expect(
        sites.some((site) => new RegExp(`^${name}\\[|\\(${name},`).test(site)) || isConstant(code, name),
        name,
      ).toBe(true);
    }
  });
}

/** Whether an array is indexed by constants alone, or not used by the file as it stands. */
function isConstant(code: string, name: string): boolean {
  const indices = [...code.matchAll(new RegExp(`\\b${name}\\[([^\\]]*)\\]`, "g"))];
  if (indices.length === 0) return code.match(new RegExp(`\\b${name}\\b`, "g"))?.length === 1;
  return indices.every(([, index]) => /^\w+$/.test(index));
}
