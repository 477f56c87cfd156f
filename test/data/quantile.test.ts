import { describe, expect, it } from "vitest";
import { quantile } from "../../src/data/quantile.js";

describe("a quantile", () => {
  it("lies between two values, as in numpy", () => {
    const values = Float64Array.of(40, 10, 30, 20);
    expect([0, 0.25, 0.5, 0.9, 1].map((q) => quantile(values, q))).toEqual([10, 17.5, 25, 37, 40]);
    expect(Array.from(values)).toEqual([40, 10, 30, 20]);
    expect(quantile(Float32Array.of(3), 0.99)).toBe(3);
  });

  it("needs values, none of them NaN, and a q in 0…1", () => {
    expect(() => quantile(new Float32Array(0), 0.5)).toThrow("at least one value");
    expect(() => quantile(Float32Array.of(1), 1.5)).toThrow("the quantile 1.5 is not between 0 and 1");
    expect(() => quantile(Float32Array.of(1, Number.NaN, 2), 0.5)).toThrow("NaN");
  });
});
