import { describe, expect, it } from "vitest";
import { frameScore, meanTokenMap, paperFrameScore, tokenMap } from "../../src/detector/frame_score.js";
import type { TokenMaps } from "../../src/detector/token_maps.js";
import { InputError } from "../../src/errors.js";

/** Four tokens in two rows. */
const maps: TokenMaps = {
  rows: 2,
  columns: 2,
  student: Float32Array.of(1, 2, 3, 4),
  target: Float32Array.of(0.5, 0.25, 8, 0),
  anomaly: Float32Array.of(0, 0.5, 1, 0.25),
  motion: Float32Array.of(0, 10, 20, 2),
  movingAnomaly: Float32Array.of(0, 6, 19, 1),
  largestMotion: Float32Array.of(0, 90, 100, 4),
  cleaned: Float32Array.of(0, 0.125, 0.5, 0),
  visible: Uint8Array.of(1, 0, 1, 0),
};

describe("a frame's score", () => {
  it("is the paper's by default: the mean of both errors over all tokens", () => {
    expect(frameScore(maps, paperFrameScore)).toBe((10 + 8.75) / 4);
  });

  it.each([
    ["teacher", 8.75 / 4],
    ["student", 10 / 4],
    ["sum", 18.75 / 4],
  ] as const)("by the %s rule", (rule, want) => {
    expect(frameScore(maps, { ...paperFrameScore, rule })).toBe(want);
  });

  it.each([
    // sums 1.5, 2.25, 11, 4
    ["motion-weighted", (0 + 22.5 + 220 + 8) / 4],
    ["maximum", 11],
    ["top-k", 7.5],
    ["anomaly-map", 1.75 / 4],
    ["top-anomaly", 1.5 / 2],
    ["moving-anomaly", 26 / 4],
    ["cleaned-map", 0.625 / 4],
  ] as const)("%s", (scoring, want) => {
    expect(frameScore(maps, { ...paperFrameScore, scoring, topK: 2 })).toBe(want);
  });

  it("can be over visible or removed tokens only", () => {
    expect(frameScore(maps, { ...paperFrameScore, tokens: "visible" })).toBe((1.5 + 11) / 2);
    expect(frameScore(maps, { ...paperFrameScore, tokens: "removed" })).toBe((2.25 + 4) / 2);
    expect(frameScore(maps, { ...paperFrameScore, scoring: "maximum", tokens: "removed" })).toBe(4);
  });

  it("counts tokens that hardly move as 0", () => {
    expect(frameScore(maps, { ...paperFrameScore, minMotion: 4 })).toBe((2.25 + 11) / 4);
    expect(frameScore(maps, { ...paperFrameScore, minMotion: 3.9 })).toBe((2.25 + 11 + 4) / 4);
  });

  it("is the mean if k is larger than the number of tokens", () => {
    expect(frameScore(maps, { ...paperFrameScore, scoring: "top-k", topK: 99 })).toBe(18.75 / 4);
  });

  it("can be over some tokens only, as if the frame did not have the others", () => {
    const counts = Uint8Array.of(1, 1, 0, 1);
    // Without the third token the sums are 1.5, 2.25 and 4.
    expect(frameScore(maps, paperFrameScore, counts)).toBe((1.5 + 2.25 + 4) / 3);
    expect(frameScore(maps, { ...paperFrameScore, scoring: "maximum" }, counts)).toBe(4);
    expect(frameScore(maps, { ...paperFrameScore, scoring: "top-anomaly", topK: 2 }, counts)).toBe(0.75 / 2);
    expect(frameScore(maps, { ...paperFrameScore, tokens: "visible" }, counts)).toBe(1.5);
    expect(frameScore(maps, paperFrameScore, new Uint8Array(4))).toBe(0);
    expect(frameScore(maps, paperFrameScore, new Uint8Array(4).fill(1))).toBe(18.75 / 4);
  });

  it("refuses a choice of tokens of another frame size", () => {
    expect(() => frameScore(maps, paperFrameScore, new Uint8Array(9))).toThrow(
      "the choice of tokens is for 9 tokens, but the frame has 4",
    );
  });

  it("is 0 if no token counts", () => {
    const all = { ...maps, visible: Uint8Array.of(1, 1, 1, 1) };
    expect(frameScore(all, { ...paperFrameScore, tokens: "removed" })).toBe(0);
  });

  it("keeps a NaN, which smoothing deals with", () => {
    const broken = { ...maps, target: Float32Array.of(Number.NaN, 0, 0, 0) };
    expect(frameScore(broken, paperFrameScore)).toBeNaN();
    expect(frameScore(broken, { ...paperFrameScore, scoring: "maximum" })).toBeNaN();
  });
});

describe("token maps", () => {
  it("are what they are named after", () => {
    expect([...tokenMap(maps, "sum", "error")]).toEqual([1.5, 2.25, 11, 4]);
    expect([...tokenMap(maps, "teacher", "moving-error")]).toEqual([0, 2.5, 160, 0]);
    expect(tokenMap(maps, "sum", "cleaned-map")).toBe(maps.cleaned);
  });

  it("are averaged over maskings", () => {
    const other = { ...maps, student: Float32Array.of(3, 2, 1, 0) };
    const { rows, columns, data } = meanTokenMap([maps, other], "student", "error");
    expect([rows, columns, ...data]).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it("refuse the cleaned-up map without a student", () => {
    const { cleaned, ...rest } = maps;
    expect(cleaned).toBeDefined();
    expect(() => tokenMap(rest, "teacher", "cleaned-map")).toThrow(InputError);
  });
});
