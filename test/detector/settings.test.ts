import { describe, expect, it } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import { originalExtras } from "../../src/checkpoint/extras.js";
import type { TrainingSettings } from "../../src/checkpoint/settings.js";
import { isMeanError, type ScoreOptions, scoreSettings } from "../../src/detector/settings.js";
import { testedBy } from "../../src/eval/tested_by.js";
import { paperConfig } from "../../src/model/config.js";

const settled = (
  settings: TrainingSettings,
  options: ScoreOptions = {},
  studentDepth = 1,
  extras: Checkpoint["extras"] = new Map(),
) => scoreSettings({ config: { ...paperConfig, patch: 16, studentDepth }, settings, extras } as Checkpoint, options);
const tested = { scoring: "top-anomaly", tokens: "visible", topK: 3, minMotion: 4, rule: "teacher" };

describe("settings of scoring", () => {
  it("come from options, then the preset, then the checkpoint, then the data set", () => {
    const trained: TrainingSettings = { inputSize: [64, 96], score: ["L1"], tested };
    expect(settled(trained, { fallback: "avenue" })).toMatchObject({
      size: { height: 64, width: 96 },
      maskRatio: 0.5,
      norm: "L1",
      score: "teacher",
      frameScore: { scoring: "top-anomaly", tokens: "visible", topK: 3, minMotion: 4 },
    });
    const paper = settled(trained, { preset: "avenue", maskRatio: 0.25 });
    expect(paper).toMatchObject({ size: { height: 320, width: 640 }, maskRatio: 0.25, norm: "L2", score: "sum" });
    expect(paper.frameScore).toEqual({ scoring: "mean", tokens: "all", topK: 10, minMotion: 0 });
    expect(settled({}, { fallback: "shanghai" })).toMatchObject({ size: { height: 160, width: 320 }, norm: "L1" });
    expect(settled({ dataset: "avenue" }, { fallback: "shanghai" }).norm).toBe("L2");
    expect(settled(trained, { frameScore: { scoring: "maximum", topK: undefined } }).frameScore).toEqual({
      ...{ scoring: "maximum", tokens: "visible", topK: 3, minMotion: 4 },
    });
    // Removed tokens only, if that was asked for.
    expect(settled(trained, { maskedOnly: true }).frameScore.tokens).toBe("removed");
  });

  it("ignore a checkpoint's frame score if a part of it is missing or wrong", () => {
    for (const wrong of [{ scoring: "best" }, { tokens: 5 }, { topK: 0 }, { topK: 1.5 }, { minMotion: -1 }]) {
      expect(settled({ tested: { ...tested, ...wrong } }).frameScore.scoring).toBe("mean");
    }
    expect(settled({ tested: { ...tested, rule: "none" } }).score).toBe("sum");
    expect(settled({ tested }, {}, 0).score).toBe("teacher");
  });

  it("use the teacher alone if stage 2 has not run (docs/method.md §5)", () => {
    const rule = { tested: { ...tested, rule: "sum" } };
    const trained = (batches: number, studentBatches: number) => originalExtras(paperConfig, batches, studentBatches);
    expect(settled(rule, {}, 1, trained(700, 0)).score).toBe("teacher");
    expect(settled({}, {}, 1, trained(700, 0)).score).toBe("teacher");
    expect(settled({}, { score: "student" }, 1, trained(700, 0)).score).toBe("student");
    expect(settled(rule, {}, 1, trained(700, 70)).score).toBe("sum");
    // Weights that were never trained, or without counts.
    expect(settled({}, {}, 1, trained(0, 0)).score).toBe("sum");
    expect(settled(rule).score).toBe("sum");
  });

  it("take the nearest mask ratio that leaves a grid if none was asked for, and say so", () => {
    const checkpoint = {
      config: { ...paperConfig, patch: 16 },
      settings: {},
      extras: new Map(),
    } as unknown as Checkpoint;
    const lines: string[] = [];
    const ratio = (options: ScoreOptions) =>
      scoreSettings(checkpoint, options, undefined, (line) => lines.push(line)).maskRatio;
    expect(ratio({ size: { height: 64, width: 96 } })).toBe(0.5);
    expect(lines).toEqual([]);
    expect(ratio({ size: { height: 48, width: 48 } })).toBe(0.3);
    expect(lines).toEqual(["mask ratio 0.5 leaves no grid at 48x48: using the nearest that does, 0.3"]);
    expect(() => ratio({ size: { height: 48, width: 48 }, maskRatio: 0.5 })).toThrow(
      /: use maskRatio 0\.3, or size 48x32 or 48x64$/,
    );
  });

  it("tell the mean error, which needs no token maps, from other scores", () => {
    expect(isMeanError(settled({}))).toBe(true);
    expect(isMeanError(settled({}, { maskedOnly: true }))).toBe(true);
    const others: ScoreOptions["frameScore"][] = [{ scoring: "maximum" }, { tokens: "visible" }, { minMotion: 1 }];
    for (const frameScore of others) expect(isMeanError(settled({}, { frameScore }))).toBe(false);
    expect(isMeanError(settled({}, { maskedOnly: true, frameScore: { tokens: "all" } }))).toBe(false);
  });

  it("refuse impossible values", () => {
    expect(() => settled({}, { frameScore: { topK: 0 } })).toThrow("top-k 0 is not a whole number from 1");
    expect(() => settled({}, { frameScore: { minMotion: Number.NaN } })).toThrow("least motion NaN");
    for (const dtype of ["f15", "float16", 16] as never[]) {
      expect(() => settled({}, { dtype })).toThrow(`dtype ${dtype} is not one of auto, f32, f16`);
    }
    const cleaned = { frameScore: { scoring: "cleaned-map" } } as const;
    expect(() => settled({}, { ...cleaned, score: "teacher" }, 0)).toThrow("cleaned-map needs a student");
  });
});

describe("how a model was tested", () => {
  it("is read from checkpoints of models trained here; wrong values are left out", () => {
    const gaussian = { kind: "gaussian", sigma: 2 };
    expect(testedBy({ tested: { smoothing: gaussian, normalize: true, maskings: 3 } })).toEqual({
      ...{ smoothing: gaussian, normalize: true, maskings: 3 },
    });
    expect(testedBy({ tested: { smoothing: { kind: "paper", range: 38, mu: 11, more: 1 } } })).toEqual({
      smoothing: { kind: "paper", range: 38, mu: 11 },
    });
    expect(testedBy({ tested: { smoothing: { kind: "none" } } })).toEqual({ smoothing: { kind: "none" } });
    const wrong = [
      { kind: "gaussian" },
      { kind: "gaussian", sigma: -1 },
      { kind: "paper", range: 1e9, mu: 1 },
      5,
      null,
    ];
    for (const smoothing of wrong) expect(testedBy({ tested: { smoothing, maskings: 0, normalize: 1 } })).toEqual({});
    expect(testedBy({})).toEqual({});
  });
});
