import { describe, expect, it } from "vitest";
import { macroAuc, microAuc, videoAucs } from "../../src/eval/frame_auc.js";

// test/fixture/metrics.test.ts compares micro- and macro-AUC with the original's.
const mixed = { name: "01", labels: [0, 0, 1, 1], scores: [0.1, 0.5, 0.3, 0.6] };
const abnormal = { name: "02", labels: [1, 1], scores: [0.2, 0.4] };
const normal = { name: "03", labels: [0, 0, 0], scores: [0.1, 0.2, 0] };

describe("frame-level AUC", () => {
  it("takes all frames together for the micro-AUC", () => {
    // Pairs won of 2 × 4, ties a half: over 0.1 all four; over 0.5 only 0.6.
    expect(microAuc([mixed, abnormal])).toBeCloseTo(5 / 8, 14);
    // Normal frames of another video count too: over 0.1 four, over 0.2 three and a half, over 0
    // four.
    expect(microAuc([mixed, abnormal, normal])).toBeCloseTo((5 + 4 + 3.5 + 4) / 20, 14);
  });

  it("adds a point at each end of a video for the macro-AUC", () => {
    // Mixed: normal 0, 0.1, 0.5 and abnormal 0.3, 0.6, 1: won 3 + 3 + 2 of 9. The others get one
    // more right pair, or only that.
    const padded = [8 / 9, 1, 1];
    const aucs = videoAucs([mixed, abnormal, normal]);
    expect(aucs.map(({ name }) => name)).toEqual(["01", "02", "03"]);
    expect(aucs.map(({ auc }) => auc)).toEqual([0.75, undefined, undefined]);
    for (const [i, { paddedAuc }] of aucs.entries()) expect(paddedAuc).toBeCloseTo(padded[i], 14);
    expect(macroAuc([mixed, abnormal, normal])).toBeCloseTo((8 / 9 + 2) / 3, 14);
    // A score beyond the added points: normal 0 and 2, abnormal 1: one of two.
    expect(macroAuc([{ name: "04", labels: [0], scores: [2] }])).toBe(0.5);
  });

  it("is undefined if nothing can be compared", () => {
    expect(microAuc([abnormal])).toBeUndefined();
    expect(microAuc([])).toBeUndefined();
    expect(macroAuc([])).toBeUndefined();
  });

  it("names the video that is wrong", () => {
    for (const metric of [microAuc, macroAuc, videoAucs]) {
      expect(() => metric([mixed, { name: "05", labels: [0, 1, 1], scores: [1, 2] }])).toThrow(
        "05 has 3 labels and 2 scores",
      );
      expect(() => metric([{ name: "06", labels: [0, 255], scores: [1, 2] }])).toThrow(
        "06: the label of frame 1 is 255",
      );
      expect(() => metric([{ name: "07", labels: [0, 1], scores: [Number.NaN, 2] }])).toThrow(
        "07: the score of frame 0 is NaN",
      );
    }
  });
});
