import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseDriverOutput } from "../../../../src/bench/kernels/driver_output.js";
import { aco, acoListing } from "../../../../src/bench/kernels/listings/aco.js";
import { fixturePath } from "../../../support/fixtures.js";

/** The output of a driver for a small kernel. The expected counts were made by hand. */
const printed = readFileSync(fixturePath("drivers/aco.txt"), "utf8");

it("finds a loop that is entered at its second block, without the code before it", () => {
  expect(parseDriverOutput(printed)).toEqual({
    ...{ compiler: "aco", instructions: 49, registers: 24, occupancy: { value: 16, unit: "waves/SIMD" } },
    ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64, cycles: 3197 },
    // 1, 3 and 19 instructions, of which 6 only wait or give hints.
    loop: { op: "matrix", ops: 1, instructions: 17, moves: 6, totalOps: 1 },
  });
});

it("counts multiply-adds, two for packed and paired instructions", () => {
  const amd = [
    ["v_fmac_f32_e32", 1],
    ["v_fma_f32", 1],
    ["v_fmaak_f32", 1],
    ["v_fmac_f16_e32", 1],
    ["v_fma_mix_f32", 1],
    ["v_fma_mixlo_f16", 1],
    ["v_pk_fma_f16", 2],
    ["v_dot2_f32_f16", 2],
    ["v_dual_fmac_f32::v_dual_fmac_f32", 2],
    ["v_dual_fmac_f32::v_dual_mov_b32", 1],
    ["v_mad_u32_u24", 0],
    ["v_mul_f32_e32", 0],
    ["v_wmma_f32_16x16x16_f16", 0],
  ] as const;
  expect(amd.map(([mnemonic]) => aco.multiplyAdds(mnemonic))).toEqual(amd.map(([, count]) => count));
});

it("counts moves, waits and no-ops, but not the assembling of float16 values", () => {
  const own = [
    "v_mov_b32_e32",
    "s_mov_b64",
    "s_waitcnt",
    "s_delay_alu",
    "v_swap_b32",
    "v_dual_mov_b32::v_dual_mov_b32",
  ];
  expect(own.every((mnemonic) => aco.isMove(mnemonic))).toBe(true);
  const others = ["v_dual_mov_b32::v_dual_fmac_f32", "v_perm_b32", "s_barrier"];
  expect(others.map(aco.isMove)).toEqual([false, false, false]);
});

it("takes two instructions that are issued as a pair as one", () => {
  const listing = acoListing(
    "BB0:\n\tv_dual_fmac_f32 v1, s1, v2 :: v_dual_mov_b32 v3, v4 ; ca\n\ts_branch BB0 ; bf\n\ts_nop 0 ; bf\n\t(then repeated 7 times)\n",
  );
  expect(listing).toEqual([
    { labels: ["BB0"], mnemonic: "v_dual_fmac_f32::v_dual_mov_b32" },
    { labels: [], mnemonic: "s_branch", target: "BB0", isLast: true },
    { labels: [], mnemonic: "s_nop" },
  ]);
});
