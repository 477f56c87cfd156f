import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseDriverOutput } from "../../../../src/bench/kernels/driver_output.js";
import { ir3, ir3Listing } from "../../../../src/bench/kernels/listings/ir3.js";
import { fixturePath } from "../../../support/fixtures.js";

/** The output of a driver for a small kernel. The expected counts were made by hand. */
const printed = readFileSync(fixturePath("drivers/ir3.txt"), "utf8");

it("counts repetitions and no-ops as often as they are issued", () => {
  expect(parseDriverOutput(printed)).toEqual({
    ...{ compiler: "ir3", instructions: 26, registers: 8, occupancy: { value: 16, unit: "waves" } },
    ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64 },
    // Two no-ops by (rpt1)nop, two by (nop2), one more, and a move.
    loop: { op: "multiply-add", ops: 1, instructions: 8, moves: 6, totalOps: 1 },
  });
});

it("counts stores to private memory as spills", () => {
  const text = printed.replace("MESA: info: end", "MESA: info: (sy)stp.u32 r1.x, p[0]\nMESA: info: end");
  expect(parseDriverOutput(text)?.spills).toBe(1);
});

it("counts multiply-adds", () => {
  const counts = ["mad.f32", "mad.f16", "mad.u16", "madsh.m16", "sad.s32"].map(ir3.multiplyAdds);
  expect(counts).toEqual([1, 1, 0, 0, 0]);
});

it("counts moves and no-ops", () => {
  expect(["mov.u32u32", "nop", "cov.f32f16"].map(ir3.isMove)).toEqual([true, true, false]);
});

it("ends a listing at the end of the program", () => {
  expect(ir3Listing("l3:\n(sy)(rpt2)mad.f32 r0.x, r1.x, r2.x\n(ss)br p0.x, #l3\nend\nnop\n")).toEqual([
    { labels: ["l3"], mnemonic: "mad.f32", times: 3 },
    { labels: [], mnemonic: "br", times: 1, target: "l3" },
    { labels: [], mnemonic: "end", times: 1, isLast: true },
  ]);
});
