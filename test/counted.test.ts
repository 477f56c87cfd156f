import { expect, it } from "vitest";
import { counted } from "../src/counted.js";

it("counts one thing, several and none", () => {
  expect([0, 1, 2].map((count) => counted(count, "label"))).toEqual(["0 labels", "1 label", "2 labels"]);
});
