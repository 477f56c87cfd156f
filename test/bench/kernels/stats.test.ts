import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  aco,
  acoListing,
  agx,
  type Block,
  blocksOf,
  type Dialect,
  type Instruction,
  ir3,
  ir3Listing,
  mainLoop,
  nak,
  nakBlocks,
  parseDriverOutput,
} from "../../../src/bench/kernels/stats.js";
import { fixturePath } from "../../support/cli.js";

/** What a driver printed of a small kernel; counts below were made by hand. */
const printed = (name: string) => readFileSync(fixturePath(`drivers/${name}.txt`), "utf8");

describe("what drivers print", () => {
  it("NVIDIA: the last listing is the machine code, of whose loop three blocks of 2, 87 and 5 instructions are", () => {
    const text = printed("nak");
    expect(parseDriverOutput(text)).toEqual({
      ...{ compiler: "nak", instructions: 216, registers: 32, occupancy: { value: 48, unit: "warps/SM" } },
      ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64, cycles: 3858 },
      // 13 moves: nine in the block that multiplies, four on the way back to its condition.
      loop: {
        ...{ op: "matrix", ops: 2, instructions: 81, moves: 13, totalOps: 2 },
        // Eight loads of a float16; behind the loop eight stores of a float32.
        memoryBytes: { global: 16, workgroup: 0 },
      },
      memoryBytes: { global: 48, workgroup: 0 },
    });
    const code = text.slice(text.lastIndexOf("NAK IR after"), text.indexOf("Stage: compute"));
    const sizes = nakBlocks(code).map(({ instructions }) => instructions.length);
    expect(sizes.slice(0, 5)).toEqual([24, 2, 5, 87, 0]);
    expect(sizes.reduce((a, b) => a + b)).toBe(216);
  });

  it("NVIDIA: spills to memory count, those to other registers do not", () => {
    const text = printed("nak").replace("Spills to mem: 0", "Spills to mem: 7").replace("to reg: 0", "to reg: 5");
    expect(parseDriverOutput(text.replace("SLM size: 0", "SLM size: 28"))).toMatchObject({
      spills: 7,
      privateBytes: 28,
    });
  });

  it("AMD: the loop is entered at its second block, and what leads to it is no part of it", () => {
    expect(parseDriverOutput(printed("aco"))).toEqual({
      ...{ compiler: "aco", instructions: 49, registers: 24, occupancy: { value: 16, unit: "waves/SIMD" } },
      ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64, cycles: 3197 },
      // 1, 3 and 19 instructions, of which 6 only wait or give hints.
      loop: { op: "matrix", ops: 1, instructions: 17, moves: 6, totalOps: 1 },
    });
  });

  it("Qualcomm: repetitions and no-ops in front of an instruction count as often as they are issued", () => {
    expect(parseDriverOutput(printed("ir3"))).toEqual({
      ...{ compiler: "ir3", instructions: 26, registers: 8, occupancy: { value: 16, unit: "waves" } },
      ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64 },
      // Two no-ops by (rpt1)nop, two by (nop2), one more, and a move.
      loop: { op: "multiply-add", ops: 1, instructions: 8, moves: 6, totalOps: 1 },
    });
  });

  it("Qualcomm: what is stored to private memory is a spill", () => {
    const text = printed("ir3").replace("MESA: info: end", "MESA: info: (sy)stp.u32 r1.x, p[0]\nMESA: info: end");
    expect(parseDriverOutput(text)?.spills).toBe(1);
  });

  it("Apple: jumps go by distance, and the preamble is another listing", () => {
    expect(parseDriverOutput(printed("agx"))).toEqual({
      ...{ compiler: "agx", instructions: 27, registers: 8, occupancy: { value: 1024, unit: "threads" } },
      ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64 },
      loop: { op: "multiply-add", ops: 1, instructions: 13, moves: 2, totalOps: 1 },
    });
    const spilt = printed("agx").replace("0:0 spills:fills", "12:30 spills:fills").replace("0 scratch", "96 scratch");
    expect(parseDriverOutput(spilt)).toMatchObject({ spills: 12, privateBytes: 96 });
  });

  it("of several kernels the last one counts", () => {
    const text = printed("nak");
    const other = text.replace("Instruction count: 216", "Instruction count: 99");
    expect(parseDriverOutput(`${text}${other}`)?.instructions).toBe(99);
    expect(parseDriverOutput(`${other}${text}`)?.instructions).toBe(216);
  });

  it("other text is no kernel", () => {
    for (const text of ["", "Warning: something", "Stage: fragment\nInstruction count: 3\n"]) {
      expect(parseDriverOutput(text)).toBeUndefined();
    }
  });
});

describe("instructions", () => {
  it("are multiply-adds by what they compute, twice if they are packed or issued in pairs", () => {
    const counted = (dialect: Dialect, mnemonics: readonly string[]) =>
      mnemonics.map((one) => dialect.multiplyAdds(one));
    expect(counted(nak, ["ffma.ftz", "hfma2.f32", "fmul.ftz", "imad", "hmma.m16n8k16.f32"])).toEqual([1, 2, 0, 0, 0]);
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
    expect(
      counted(
        aco,
        amd.map(([mnemonic]) => mnemonic),
      ),
    ).toEqual(amd.map(([, count]) => count));
    expect(counted(ir3, ["mad.f32", "mad.f16", "mad.u16", "madsh.m16", "sad.s32"])).toEqual([1, 1, 0, 0, 0]);
    expect(counted(agx, ["ffma", "hfma", "imadd", "fadd"])).toEqual([1, 1, 0, 0]);
  });

  it("are the compiler's own if they move, wait or do nothing; float16 values are put together by others", () => {
    const own = (dialect: Dialect, mnemonics: readonly string[]) => mnemonics.map((one) => dialect.isMove(one));
    expect(own(nak, ["mov", "nop", "movm.16.m8n8.trans", "prmt", "r2ur"])).toEqual([true, true, false, false, false]);
    const amd = [
      "v_mov_b32_e32",
      "s_mov_b64",
      "s_waitcnt",
      "s_delay_alu",
      "v_swap_b32",
      "v_dual_mov_b32::v_dual_mov_b32",
    ];
    expect(own(aco, amd).every(Boolean)).toBe(true);
    expect(own(aco, ["v_dual_mov_b32::v_dual_fmac_f32", "v_perm_b32", "s_barrier"])).toEqual([false, false, false]);
    expect(own(ir3, ["mov.u32u32", "nop", "cov.f32f16"])).toEqual([true, true, false]);
    expect(own(agx, ["mov", "ldimm", "wait", "iadd"])).toEqual([true, true, true, false]);
  });

  it("of AMD that are issued as a pair are one", () => {
    const listing = acoListing(
      "BB0:\n\tv_dual_fmac_f32 v1, s1, v2 :: v_dual_mov_b32 v3, v4 ; ca\n\ts_branch BB0 ; bf\n\ts_nop 0 ; bf\n\t(then repeated 7 times)\n",
    );
    expect(listing).toEqual([
      { labels: ["BB0"], mnemonic: "v_dual_fmac_f32::v_dual_mov_b32" },
      { labels: [], mnemonic: "s_branch", target: "BB0", isLast: true },
      { labels: [], mnemonic: "s_nop" },
    ]);
  });

  it("of Qualcomm end with the program", () => {
    expect(ir3Listing("l3:\n(sy)(rpt2)mad.f32 r0.x, r1.x, r2.x\n(ss)br p0.x, #l3\nend\nnop\n")).toEqual([
      { labels: ["l3"], mnemonic: "mad.f32", times: 3 },
      { labels: [], mnemonic: "br", times: 1, target: "l3" },
      { labels: [], mnemonic: "end", times: 1, isLast: true },
    ]);
  });
});

describe("the main loop", () => {
  const dialect: Dialect = {
    isMatrix: (mnemonic) => mnemonic === "matrix",
    multiplyAdds: (mnemonic) => Number(mnemonic === "fma"),
    isMove: (mnemonic) => mnemonic === "mov",
  };
  const block = (code: string, ...successors: number[]): Block => ({
    instructions: code.split(" ").map((mnemonic): Instruction => ({ labels: [], mnemonic })),
    successors,
  });

  it("is the one with the most ops, and all ops are told", () => {
    const blocks = [block("a fma", 1), block("fma b", 1, 2), block("fma fma mov c c", 2, 3), block("fma")];
    expect(mainLoop(blocks, dialect)).toEqual({ op: "multiply-add", ops: 2, instructions: 4, moves: 1, totalOps: 5 });
  });

  it("has all blocks that go round, also those behind conditions", () => {
    const blocks = [block("a", 1), block("fma", 2, 3), block("b b", 3), block("c", 1, 4), block("d")];
    expect(mainLoop(blocks, dialect)).toMatchObject({ ops: 1, instructions: 4 });
  });

  it("leaves the ops of inner loops aside when loops are compared, but counts them once if it is the outer one", () => {
    const inner = [block("a", 1), block("b", 2), block("fma fma", 2, 3), block("fma", 1, 4), block("d")];
    expect(mainLoop(inner, dialect)).toEqual({ op: "multiply-add", ops: 2, instructions: 2, moves: 0, totalOps: 3 });
    const outer = [block("a", 1), block("b", 2), block("fma", 2, 3), block("fma fma", 1, 4), block("d")];
    expect(mainLoop(outer, dialect)).toMatchObject({ ops: 3, instructions: 4, note: "nested" });
  });

  it("may be entered in its middle", () => {
    const blocks = [block("a a a", 2), block("b", 2), block("fma", 1, 3), block("c")];
    expect(mainLoop(blocks, dialect)).toMatchObject({ ops: 1, instructions: 2 });
  });

  it("is what lies between the first op and the last where no loop has any", () => {
    const blocks = [block("a fma b", 1), block("mov", 1, 2), block("c fma d")];
    expect(mainLoop(blocks, dialect)).toEqual({
      ...{ op: "multiply-add", ops: 2, instructions: 4, moves: 1, totalOps: 2 },
      note: "unrolled",
    });
  });

  it("counts matrix operations alone where there are any, and nothing where there are no ops", () => {
    const blocks = [block("a", 1), block("fma fma fma", 1, 2), block("matrix fma b", 2, 3), block("c")];
    expect(mainLoop(blocks, dialect)).toEqual({ op: "matrix", ops: 1, instructions: 3, moves: 0, totalOps: 1 });
    expect(mainLoop([block("a b c")], dialect)).toBeUndefined();
    expect(mainLoop([], dialect)).toBeUndefined();
  });
});

describe("a listing", () => {
  it("is cut where branches start and end", () => {
    const listing: Instruction[] = [
      { labels: [], mnemonic: "a" },
      { labels: ["x"], mnemonic: "b" },
      { labels: [], mnemonic: "if", target: "y" },
      { labels: ["unused"], mnemonic: "c" },
      { labels: [], mnemonic: "jump", target: "x", isLast: true },
      { labels: ["y"], mnemonic: "end", isLast: true },
    ];
    const blocks = blocksOf(listing).map(({ instructions, successors }) => [
      instructions.map(({ mnemonic }) => mnemonic).join(" "),
      successors,
    ]);
    expect(blocks).toEqual([
      ["a", [1]],
      ["b if", [3, 2]],
      ["c jump", [1]],
      ["end", []],
    ]);
  });
});
