import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseDriverOutput } from "../../../../src/bench/kernels/driver_output.js";
import { nak, nakBlocks } from "../../../../src/bench/kernels/listings/nak.js";
import { fixturePath } from "../../../support/fixtures.js";

/** The output of a driver for a small kernel. The expected counts were made by hand. */
const printed = readFileSync(fixturePath("drivers/nak.txt"), "utf8");

it("takes the last listing as the machine code, whose loop has blocks of 2, 87 and 5 instructions", () => {
  expect(parseDriverOutput(printed)).toEqual({
    ...{ compiler: "nak", instructions: 216, registers: 32, occupancy: { value: 48, unit: "warps/SM" } },
    ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64, cycles: 3858 },
    // 13 moves: nine in the block that multiplies, four on the way back to its condition.
    loop: {
      ...{ op: "matrix", ops: 2, instructions: 81, moves: 13, totalOps: 2 },
      // Eight loads of a float16; after the loop eight stores of a float32.
      memoryBytes: { global: 16, workgroup: 0 },
    },
    memoryBytes: { global: 48, workgroup: 0 },
  });
  const code = printed.slice(printed.lastIndexOf("NAK IR after"), printed.indexOf("Stage: compute"));
  const sizes = nakBlocks(code).map(({ instructions }) => instructions.length);
  expect(sizes.slice(0, 5)).toEqual([24, 2, 5, 87, 0]);
  expect(sizes.reduce((a, b) => a + b)).toBe(216);
});

it("counts spills to memory, but not those to other registers", () => {
  const text = printed.replace("Spills to mem: 0", "Spills to mem: 7").replace("to reg: 0", "to reg: 5");
  expect(parseDriverOutput(text.replace("SLM size: 0", "SLM size: 28"))).toMatchObject({
    spills: 7,
    privateBytes: 28,
  });
});

it("counts multiply-adds, two for a packed instruction", () => {
  const counts = ["ffma.ftz", "hfma2.f32", "fmul.ftz", "imad", "hmma.m16n8k16.f32"].map(nak.multiplyAdds);
  expect(counts).toEqual([1, 2, 0, 0, 0]);
});

it("counts moves and no-ops, but not the assembling of float16 values", () => {
  const moves = ["mov", "nop", "movm.16.m8n8.trans", "prmt", "r2ur"].map(nak.isMove);
  expect(moves).toEqual([true, true, false, false, false]);
});
