import { describe, expect, it } from "vitest";
import { histogramLines } from "../../../src/cli/terminal/calibration_summary.js";

/** The number that each row begins with, and whether the row marks the threshold. */
function rows(values: readonly number[], threshold: number): [level: number, isMark: boolean][] {
  return histogramLines(values, threshold).map((line) => [Number.parseFloat(line), line.endsWith("threshold")]);
}

describe("the histogram of a calibration", () => {
  // 16 bars from 0 to 16.
  const values = Array.from({ length: 17 }, (_, i) => i);

  it("marks the threshold below the bar whose range holds it, so that levels rise", () => {
    for (const threshold of [0, 0.5, 4, 4.5, 15.5, 16]) {
      const found = rows(values, threshold);
      const levels = found.map(([level]) => level);
      expect(levels).toEqual(levels.toSorted((a, b) => a - b));
      expect(found.filter(([, isMark]) => isMark)).toEqual([[threshold, true]]);
      const at = found.findIndex(([, isMark]) => isMark);
      expect(found[at - 1][0]).toBe(Math.min(15, Math.floor(threshold)));
    }
  });

  it("ends with a threshold above all levels", () => {
    expect(rows(values, 32).at(-1)).toEqual([32, true]);
  });
});
