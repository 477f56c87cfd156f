import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openCheckpoint, saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { parsePth } from "../../../src/checkpoint/pth.js";
import { exportPth } from "../../../src/checkpoint/pth_write.js";
import { saveTrainingCheckpoint } from "../../../src/checkpoint/training_checkpoint.js";
import { exportCheckpointCommand } from "../../../src/cli/commands/export_checkpoint.js";
import { paperTraining } from "../../../src/train/config.js";
import { digest, momentsOf, sha } from "../../support/checkpoint.js";
import { fixtureFile, fixturePath } from "../../support/fixtures.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const tiny = openCheckpoint([fixtureFile("tiny-checkpoint-best.pth")]);

describe("export-checkpoint", () => {
  const at = scratchPerTest();
  const best = fixturePath("tiny-checkpoint-best.pth");
  const bestStudent = fixturePath("tiny-checkpoint-best-student.pth");

  async function run(...argv: string[]): Promise<string> {
    const lines: string[] = [];
    await exportCheckpointCommand((line) => lines.push(line)).parseAsync(argv, { from: "user" });
    return lines.join("\n");
  }

  const refusalOf = (...argv: string[]) => refusal(run(...argv));

  it("merges the student's file", async () => {
    const out = at("out.pth");
    const printed = await run(best, out, "--student", bestStudent);
    // From torch.load, as in checkpoint.test.ts.
    expect(digest(parsePth(new Uint8Array(readFileSync(out)), out).tensors)).toBe("8b959b97ba3cef06");
    expect(printed).toContain("192: 173 of the network, 19 counters and constants; 38 from the second file");
    expect(printed).toContain("optimizer      left out, because two models are merged");
    expect(printed).toContain("epoch          173");
    expect(readdirSync(at())).toEqual(["out.pth"]);
  });

  it("exports a run's checkpoint with its optimiser and the steps of each stage", async () => {
    const optimizer = { ...paperTraining.optimizer, learningRate: 2e-4 };
    const progress = { epoch: 3, stepInEpoch: 2, step: 30, stageStep: 4, lossSum: 0, seconds: 1, best: null };
    const training = {
      config: { ...paperTraining, optimizer },
      data: "",
      progress: { ...progress, bestStudent: null },
      scaler: [65536, 0, 0, 0],
    };
    const bytes = saveTrainingCheckpoint({ checkpoint: tiny, optimizer: { moments: momentsOf(tiny) }, training });
    writeFileSync(at("run.safetensors"), bytes);
    const printed = await run(at("run.safetensors"), at("run.pth"));
    expect(printed).toContain("optimizer      AdamW, learning rate 0.0002, weight decay 0.05, 26 steps");
    // The student's steps began with stage 2.
    const step = (name: string) => (name.includes("student") ? 4 : 26);
    const expected = exportPth(tiny, { ...optimizer, moments: momentsOf(tiny), step });
    expect(sha(readFileSync(at("run.pth")))).toBe(sha(expected));
  });

  it("says what a .pth cannot hold", async () => {
    writeFileSync(
      at("two.safetensors"),
      saveCheckpoint({ ...tiny, config: { ...tiny.config, heads: 2 }, settings: {} }),
    );
    const printed = await run(at("two.safetensors"), at("two.pth"));
    expect(printed).toContain("heads          2; a .pth file does not say so");
    expect(printed).toContain("optimizer      none in the file");
    expect(printed).toContain("epoch          not known, so None");
  });

  it("refuses names that could overwrite a checkpoint", async () => {
    expect(await refusalOf(best, at("out.safetensors"))).toBe(
      `${at("out.safetensors")}: the file to write must be named *.pth`,
    );
    expect(await refusalOf(best, best)).toBe(
      `${best}: the file is both read and written; choose another file to write`,
    );
    expect(await refusalOf(at("none.pth"), at("out.pth"))).toBe(
      `${at("none.pth")}: cannot be read (no such file or folder)`,
    );
    expect(readdirSync(at())).toEqual([]);
  });
});
