import type { TestContext } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { matrixUnits } from "../../src/ops/variants.js";

/** Skips a test where the adapter has no matrix units that the kernels can use. */
export function needsMatrixUnits(gpu: Gpu, { skip }: TestContext): void {
  const units = matrixUnits(gpu);
  if (typeof units === "string") skip(`matrix units of ${gpu.adapter.kind}: ${units}`);
}

/**
 * Rewrites a kernel for matrix units (chromium_experimental_subgroup_matrix) so that any adapter with float16 and subgroups runs it, slowly: each
 * invocation holds whole matrices in arrays of its own, and every one of a subgroup does the same work. What is shown by it is the
 * kernel's own arithmetic: which matrices it loads from where, in which order it multiplies them, and all that it does with the sums.
 * Loads, stores and products are as Dawn documents them.
 * @param lanes invocations that the kernel takes for a subgroup: a multiple of the real one's
 */
export function emulateMatrixUnits(wgsl: string, lanes: number): string {
  const storage = /var<storage, read> (\w+):/.exec(wgsl)?.[1];
  // Known at run time only, and matrices by pointer: lavapipe would take minutes to compile loops that it can unroll, and copies.
  const upTo = (count: string) => `min(${count}, arrayLength(&${storage}))`;
  const sides = new Map<string, { columns: string; rows: string }>();
  let text = wgsl.replace("enable chromium_experimental_subgroup_matrix;", "");
  text = text.replace(
    /^alias (\w+) = subgroup_matrix_\w+<(\w+), (\w+), (\w+)>;/gm,
    (_, name: string, type: string, columns: string, rows: string) => {
      sides.set(name, { columns, rows });
      return `alias ${name} = array<${type}, ${columns} * ${rows}>;`;
    },
  );
  const { columns, rows } = sides.get("Result") as { columns: string; rows: string };
  const inner = sides.get("Left")?.columns as string;
  const helpers = new Map<string, string>();
  text = text.replace(
    /(let \w+|[\w[\]]+) = subgroupMatrixLoad<(\w+), (row|col)_major>\(&(\w+), /g,
    (_, target: string, matrix: string, order: string, buffer: string) => {
      const { columns, rows } = sides.get(matrix) as { columns: string; rows: string };
      const name = `load${matrix}_${order}_${buffer}`;
      const at = order === "row" ? "stride * r + c" : "stride * c + r";
      helpers.set(
        name,
        `fn ${name}(m: ptr<function, ${matrix}>, offset: u32, stride: u32) {
  for (var r = 0u; r < ${upTo(rows)}; r++) { for (var c = 0u; c < ${upTo(columns)}; c++) {
    (*m)[r * ${columns} + c] = ${buffer}[offset + ${at}];
  } }
}`,
      );
      const variable = /^let (\w+)$/.exec(target)?.[1];
      return `${variable ? `var ${variable}: ${matrix};\n` : ""}${name}(&${variable ?? target}, `;
    },
  );
  text = text.replace(
    /([\w[\]* +]+?) = subgroupMatrixMultiplyAccumulate\(([^,]+), ([^,]+), .*\);/g,
    (_, sum: string, left: string, right: string) => `multiplyAccumulate(&${left}, &${right}, &${sum.trim()});`,
  );
  helpers.set(
    "multiply",
    `fn multiplyAccumulate(left: ptr<function, Left>, right: ptr<function, Right>, sum: ptr<function, Result>) {
  for (var r = 0u; r < ${upTo(rows)}; r++) { for (var c = 0u; c < ${upTo(columns)}; c++) { for (var k = 0u; k < ${upTo(inner)}; k++) {
    (*sum)[r * ${columns} + c] += f32((*left)[r * ${inner} + k]) * f32((*right)[k * ${columns} + c]);
  } } }
}`,
  );
  text = text.replace(
    /subgroupMatrixStore<row_major>\(&(\w+), (.*), ([\w[\]* +]+), (\w+)\);/g,
    (_, buffer: string, offset: string, value: string, stride: string) => {
      helpers.set(
        `store_${buffer}`,
        `fn store_${buffer}(offset: u32, m: ptr<function, Result>, stride: u32, lane: u32) {
  if (lane != 0u) { return; }
  for (var r = 0u; r < ${upTo(rows)}; r++) { for (var c = 0u; c < ${upTo(columns)}; c++) {
    ${buffer}[offset + stride * r + c] = (*m)[r * ${columns} + c];
  } }
}`,
      );
      return `store_${buffer}(${offset}, &${value}, ${stride}, lane);`;
    },
  );
  text = text.replace(
    /@builtin\(subgroup_id\) subgroup: u32,\s*@builtin\(subgroup_invocation_id\) lane: u32,\s*\) \{/,
    `@builtin(local_invocation_index) local: u32) {
  let subgroup = local / ${lanes}u;
  let lane = local % ${lanes}u;`,
  );
  if (text.includes("subgroupMatrix")) throw new Error(`not all of the kernel's matrices could be emulated:\n${text}`);
  return `${text}\n${[...helpers.values()].join("\n")}\n`;
}
