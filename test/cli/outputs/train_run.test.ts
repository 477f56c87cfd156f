import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { Run } from "../../../src/cli/outputs/train_run.js";
import { type LogEntry, TrainingLog } from "../../../src/node/files/training_log.js";
import { paperTraining } from "../../../src/train/config.js";
import type { ScoringWay, ValidationResult } from "../../../src/train/selection.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

const way: ScoringWay = {
  ...{ scoring: "top-anomaly", tokens: "all", topK: 3, minMotion: 0, rule: "teacher" },
  ...{ smoothing: { kind: "gaussian", sigma: 4 }, maskings: 1 },
};
const result: ValidationResult = {
  ...{ way, auc: 0.8, found: 0.5, figure: 0.65, worst: "stop", threshold: 0.1, normalFrames: 90 },
  kinds: [{ kind: "stop", auc: 0.8, events: 4, found: 2 }],
  disturbances: [{ disturbance: "night", falseAlarms: 0.5 }],
};

async function logged(): Promise<readonly LogEntry[]> {
  const log = await TrainingLog.open(at());
  log.close();
  return log.entries();
}

test("validations are logged, and maskings that are chosen after the last epoch replace the earlier ones", async () => {
  const run = await Run.open(at(), paperTraining, { root: "videos" }, "an adapter", undefined, true);
  const { onValidation } = run.callbacks();
  for (const epoch of [1, 2]) onValidation?.({ epoch, stage: 1, result, best: true, seconds: epoch });
  const entry = (epoch: number, maskings: number) => ({
    ...{ type: "validation", epoch, stage: 1, best: true, seconds: epoch },
    ...{ figure: 0.65, auc: 0.8, found: 0.5, worst: "stop", way: { ...way, maskings } },
    ...{ kinds: result.kinds, disturbances: result.disturbances },
  });
  // The entry of this start comes first: initial weights are rated before any step.
  const start = expect.objectContaining({ type: "run", title: "Training on videos", adapter: "an adapter" });
  expect(await logged()).toEqual([start, entry(1, 1), entry(2, 1)]);

  const several = { ...result, figure: 0.7, way: { ...way, maskings: 3 } };
  onValidation?.({ epoch: 2, stage: 1, result: several, best: true, seconds: 3 });
  expect(await logged()).toEqual([start, entry(1, 1), { ...entry(2, 3), figure: 0.7, seconds: 3 }]);
  await run.end("done", "finished");
  await run.close();
  expect(readFileSync(at("curves.js"), "utf8")).toContain('"maskings":3');
});

test("the page and the terminal say that maskings are compared, and that this begins again if it is stopped", async () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    const run = await Run.open(at(), paperTraining, { root: "videos" }, "an adapter", 12, false);
    expect(run.comparesMaskings).toBe(false);
    run.callbacks().onMaskings?.(3, 90);
    expect(run.comparesMaskings).toBe(true);
    await run.close();
    const compared = "comparing one masking per frame with 3: 90 frames to score";
    expect(readFileSync(at("curves.js"), "utf8")).toContain(compared);
    const lines = said.mock.calls.map(([text]) => String(text)).join("");
    expect(lines).toContain(`all epochs are done; ${compared} (if this is stopped, --resume begins it again)\n`);
  } finally {
    said.mockRestore();
  }
});
