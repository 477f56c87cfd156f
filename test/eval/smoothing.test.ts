import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { countNaN, minMaxNormalize, paperKernel, smooth } from "../../src/eval/smoothing.js";
import { fixturePath } from "../support/fixtures.js";

const close = (got: ArrayLike<number>, want: ArrayLike<number>, tolerance = 1e-12) => {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) expect(Math.abs(got[i] - want[i])).toBeLessThan(tolerance);
};

/** numpy.correlate(numpy.pad(scores, len // 2), kernel, "valid"), from its definition. */
function correlated(scores: readonly number[], kernel: readonly number[]): number[] {
  const half = Math.floor(kernel.length / 2);
  const at = (i: number) => scores[i] ?? 0;
  const length = scores.length + 2 * half - kernel.length + 1;
  return Array.from({ length }, (_, i) => kernel.reduce((sum, value, k) => sum + value * at(i + k - half), 0));
}

describe("the paper's smoothing", () => {
  it("has a kernel whose peak is left of its middle", () => {
    // x = 1…4, c = x[1] = 2, σ = 1
    const density = (x: number) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
    close(paperKernel(5, 1), [density(-1), density(0), density(1), density(2)]);
    // Kernels of one and two values: c = x[-1] of Python, c = x[0].
    close(paperKernel(2, 3), [1 / (3 * Math.sqrt(2 * Math.PI))]);
    close(paperKernel(3, 1), [density(0), density(1)]);
  });

  it("agrees with the original, also if the kernel is longer than the video", () => {
    const cases = JSON.parse(readFileSync(fixturePath("frame-auc.json"), "utf8"));
    expect(cases.length).toBeGreaterThan(3);
    for (const { range, mu, videos, scores, filtered_first_video: want } of cases) {
      const first = scores.filter((_: number, i: number) => videos[i] === videos[0]);
      close(smooth(first, { kind: "paper", range, mu }), want);
    }
  });

  it("keeps the number of frames, for kernels of odd and of even length", () => {
    const scores = [3, 1, 4, 1, 5, 9, 2];
    for (const range of [2, 3, 4, 5, 6, 30, 31]) {
      const want = correlated(scores, Array.from(paperKernel(range, 2))).slice(0, scores.length);
      close(smooth(scores, { kind: "paper", range, mu: 2 }), want);
    }
    expect(smooth([], { kind: "paper", range: 38, mu: 11 })).toHaveLength(0);
  });

  it("refuses impossible kernels", () => {
    for (const range of [1, 0, 2.5, Number.NaN]) expect(() => paperKernel(range, 1)).toThrow(InputError);
    expect(() => paperKernel(4, 0)).toThrow("the smoothing's mu 0 is not a number of frames above 0");
    expect(() => smooth([1], { kind: "gaussian", sigma: -1 })).toThrow("sigma -1");
  });
});

describe("Gaussian smoothing", () => {
  it("agrees with scipy, with repeated edges", () => {
    // scipy.ndimage.gaussian_filter1d([1, 4, 2, 8, 5], 1.3, mode="nearest"), scipy 1.17
    const want = [1.940241130683, 2.903945165378, 4.062846617187, 5.044631334468, 5.369983009859];
    close(smooth([1, 4, 2, 8, 5], { kind: "gaussian", sigma: 1.3 }), want, 1e-9);
  });

  it("keeps a constant video constant, however short", () => {
    close(smooth([7, 7, 7], { kind: "gaussian", sigma: 50 }), [7, 7, 7]);
  });
});

describe("scores that are NaN or infinite", () => {
  it("become 0 if a NaN reaches them; NaNs can be counted beforehand", () => {
    const scores = [1, 1, Number.NaN, 1, 1, 1, 1];
    expect(countNaN(scores)).toBe(1);
    expect(countNaN([1, 2])).toBe(0);
    expect(Array.from(smooth(scores, { kind: "none" }))).toEqual([1, 1, 0, 1, 1, 1, 1]);
    // A kernel of three values reaches one frame to either side.
    const zero = Array.from(smooth(scores, { kind: "paper", range: 4, mu: 1 }), (v) => v === 0);
    expect(zero).toEqual([false, true, true, true, false, false, false]);
  });

  it("are refused if infinite, with the names of frame and video", () => {
    expect(() => smooth([0, Infinity], { kind: "none" }, "Test001")).toThrow(
      "Test001: the score of frame 1 is Infinity; a score must be finite",
    );
    expect(() => smooth([-Infinity], { kind: "paper", range: 4, mu: 1 })).toThrow(InputError);
  });
});

describe("min-max", () => {
  it("stretches scores to 0…1; those of a constant video become 0", () => {
    expect(Array.from(minMaxNormalize([2, 4, 3, 6]))).toEqual([0, 0.5, 0.25, 1]);
    expect(Array.from(minMaxNormalize([5, 5]))).toEqual([0, 0]);
    expect(minMaxNormalize([])).toHaveLength(0);
    expect(() => minMaxNormalize([1, Number.NaN])).toThrow("score 1 is NaN");
  });
});
