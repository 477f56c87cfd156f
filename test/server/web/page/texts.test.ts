import { expect, test } from "vitest";
import { level } from "../../../../src/server/web/page/texts.js";

test("levels have three digits, and just below 1 as many as tell them from 1", () => {
  expect([0.123456, 0.35, 0.9876, 12.345, 0.9995, 0.9999, 0.99996, 1].map(level)).toEqual([
    "0.123",
    "0.35",
    "0.988",
    "12.3",
    "0.9995",
    "0.9999",
    "0.99996",
    "1",
  ]);
  expect(level(null)).toBe("\u2013");
});
