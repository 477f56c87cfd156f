import { describe, expect, it } from "vitest";
import { ValueSample } from "../../src/watch/value_sample.js";

describe("a sample of values", () => {
  it("has the quantiles of all values, whatever their order", () => {
    const sample = new ValueSample(4096, 16);
    // 10,000 maps with the value i / 10,000: a million values would be rising from 0 to 1.
    for (let i = 0; i < 10_000; i++) sample.add(new Float32Array(10).fill(i / 10_000));
    for (const q of [0.1, 0.5, 0.9]) expect(Math.abs(sample.quantile(q) - q)).toBeLessThan(0.03);
  });

  it("leaves out what is not a number, and is 0 without values", () => {
    const sample = new ValueSample(8, 4);
    expect(sample.quantile(0.5)).toBe(0);
    sample.add([Number.NaN]);
    expect(sample.quantile(0.5)).toBe(0);
    sample.add([3]);
    expect(sample.quantile(0.5)).toBe(3);
  });
});
