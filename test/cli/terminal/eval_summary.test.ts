import { expect, it } from "vitest";
import { type Evaluated, metrics } from "../../../src/cli/terminal/eval_summary.js";
import { benchmarks } from "../../../src/eval/benchmarks.js";

it("compares with the paper's figures only what was measured on all test videos", () => {
  const published = (isPart: boolean, testSplit?: "validation") => {
    const result = { videos: [], notes: [], microAuc: 0.5 };
    const evaluated = { result, benchmark: benchmarks.avenue, dataset: { test: [], testSplit }, isPart };
    return metrics(evaluated as unknown as Evaluated).flatMap((metric) => metric.published ?? []);
  };
  expect(published(false)).toEqual([91.3, 46.77, 66.58]);
  expect(published(true)).toEqual([]);
  expect(published(false, "validation")).toEqual([]);
});
