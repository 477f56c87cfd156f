import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseDriverOutput } from "../../../src/bench/kernels/driver_output.js";
import { fixturePath } from "../../support/fixtures.js";

it("takes the last of several kernels", () => {
  const text = readFileSync(fixturePath("drivers/nak.txt"), "utf8");
  const other = text.replace("Instruction count: 216", "Instruction count: 99");
  expect(parseDriverOutput(`${text}${other}`)?.instructions).toBe(99);
  expect(parseDriverOutput(`${other}${text}`)?.instructions).toBe(216);
});

it("finds no kernel in other text", () => {
  for (const text of ["", "Warning: something", "Stage: fragment\nInstruction count: 3\n"]) {
    expect(parseDriverOutput(text)).toBeUndefined();
  }
});
