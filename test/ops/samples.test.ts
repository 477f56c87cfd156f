import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { sampleWords } from "../../src/ops/common.js";
import { packSamples, sampleField } from "../../src/ops/samples.js";

it("packs eight words per sample, 0 where nothing is given", () => {
  const first = { previous: 3, current: 4, next: 5, before: 6, after: 7, target: 8, frame: 2 ** 32 - 1 };
  expect([...packSamples([first, { target: 2 }])]).toEqual([
    ...[3, 4, 5, 6, 7, 8, 0xffffffff, 0],
    ...[0, 0, 0, 0, 0, 2, 0, 0],
  ]);
});

it("has the fields of the struct that kernels read, in their order", () => {
  const wgsl = readFileSync(new URL("../../shaders/common/sample.wgsl", import.meta.url), "utf8");
  const fields = [...wgsl.matchAll(/^ {2}(\w+): u32,/gm)].map(([, name]) => name.replace(/_$/, ""));
  expect(fields.slice(0, -1)).toEqual(Object.keys(sampleField));
  expect(Object.values(sampleField)).toEqual([...Object.keys(sampleField).keys()]);
  expect(fields).toHaveLength(sampleWords);
});
