import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseDriverOutput } from "../../../../src/bench/kernels/driver_output.js";
import { agx } from "../../../../src/bench/kernels/listings/agx.js";
import { fixturePath } from "../../../support/fixtures.js";

/** The output of a driver for a small kernel. The expected counts were made by hand. */
const printed = readFileSync(fixturePath("drivers/agx.txt"), "utf8");

it("resolves jumps by distance, and leaves out the preamble", () => {
  expect(parseDriverOutput(printed)).toEqual({
    ...{ compiler: "agx", instructions: 27, registers: 8, occupancy: { value: 1024, unit: "threads" } },
    ...{ spills: 0, privateBytes: 0, workgroupBytes: 0, invocations: 64 },
    loop: { op: "multiply-add", ops: 1, instructions: 13, moves: 2, totalOps: 1 },
  });
  const spilt = printed.replace("0:0 spills:fills", "12:30 spills:fills").replace("0 scratch", "96 scratch");
  expect(parseDriverOutput(spilt)).toMatchObject({ spills: 12, privateBytes: 96 });
});

it("counts multiply-adds", () => {
  expect(["ffma", "hfma", "imadd", "fadd"].map(agx.multiplyAdds)).toEqual([1, 1, 0, 0]);
});

it("counts moves, waits and no-ops", () => {
  expect(["mov", "ldimm", "wait", "iadd"].map(agx.isMove)).toEqual([true, true, true, false]);
});
