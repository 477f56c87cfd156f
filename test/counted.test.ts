import { expect, it } from "vitest";
import { counted, knownTotal } from "../src/counted.js";

it("counts one thing, several and none", () => {
  expect([0, 1, 2].map((count) => counted(count, "label"))).toEqual(["0 labels", "1 label", "2 labels"]);
});

it("adds up counts if all of them are known", () => {
  expect(knownTotal([])).toBe(0);
  expect(knownTotal([3, 0, 4])).toBe(7);
  expect(knownTotal([3, undefined, 4])).toBeUndefined();
});
