import { describe, expect, it } from "vitest";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.js";
import { originalExtras } from "../../../src/checkpoint/extras.js";
import { type OtherUses, scoringNotices } from "../../../src/cli/options/measure.js";
import { configured, type TrainCommandOptions } from "../../../src/cli/options/train.js";
import { type ScoreOptions, scoreSettings } from "../../../src/detector/settings.js";
import { paperConfig } from "../../../src/model/config.js";
import { paperTraining } from "../../../src/train/config.js";

const tested = { scoring: "top-anomaly", tokens: "visible", topK: 3, minMotion: 0, rule: "sum" };

/** What a command says about options for a model that was tested by its anomaly map. */
function noticesOf(
  { maskings, ...options }: ScoreOptions & { maskings?: number },
  uses: OtherUses = {},
  extras: Checkpoint["extras"] = new Map(),
): string[] {
  const checkpoint = { config: paperConfig, settings: { tested }, extras } as unknown as Checkpoint;
  const settings = scoreSettings(checkpoint, options);
  const { frameScore, ...model } = options;
  const given = { ...model, ...frameScore, frameScore: frameScore?.scoring, ...(maskings && { maskings }) };
  return scoringNotices({ settings, checkpoint }, given, (name) => name === "seed", uses);
}

describe("scoring options", () => {
  it("name the way in which the model was tested", () => {
    expect(noticesOf({})).toEqual([
      "frames are scored as this model was tested in training: top-anomaly (k = 3) of visible tokens (for the paper's way: --frame-score mean, or a --preset)",
    ]);
    expect(noticesOf({ frameScore: { scoring: "mean" } })).toEqual([]);
  });

  it("about errors are refused if nothing is made of errors", () => {
    const idle = "has no effect, because the frame score top-anomaly (k = 3) uses no errors: add --frame-score mean";
    for (const score of ["student", "sum", "teacher"] as const) {
      expect(() => noticesOf({ score })).toThrow(`--score ${idle}, or leave out --score`);
      expect(() => noticesOf({ score }, { errors: true, map: "cleaned-map" })).toThrow(`--score ${idle}`);
      expect(noticesOf({ score }, { map: "moving-error" })).toHaveLength(1);
      expect(noticesOf({ score, frameScore: { scoring: "maximum" } })).toEqual([]);
    }
    expect(() => noticesOf({ norm: "L1" })).toThrow(`--norm ${idle}`);
    expect(noticesOf({ norm: "L1" }, { errors: true })).toHaveLength(1);
    expect(noticesOf({ norm: "L1" }, { map: "error" })).toHaveLength(1);
  });

  it("about tokens must not contradict each other, nor choose none", () => {
    for (const tokens of ["all", "visible"] as const) {
      expect(() => noticesOf({ maskedOnly: true, frameScore: { tokens } })).toThrow(
        `--masked-only and --tokens ${tokens} contradict each other`,
      );
    }
    expect(noticesOf({ maskedOnly: true, frameScore: { tokens: "removed" } })).toHaveLength(1);
    expect(() => noticesOf({ maskRatio: 0, frameScore: { tokens: "removed" } })).toThrow("mask ratio 0 removes none");
  });

  it("about random masks have no effect if masks go by motion", () => {
    expect(noticesOf({ masking: "gradient" }).at(-1)).toBe("--seed has no effect: masks by motion are not random");
    expect(() => noticesOf({ masking: "gradient", maskings: 3 })).toThrow("--maskings 3 has no effect");
    expect(noticesOf({ masking: "gradient", maskings: 1 })).toHaveLength(2);
    expect(noticesOf({ maskings: 3 })).toHaveLength(1);
  });

  it("warn about a student that was not trained, if scores or regions need it", () => {
    const untrained = originalExtras(paperConfig, 700, 0);
    const last = (options: ScoreOptions, uses?: OtherUses) => noticesOf(options, uses, untrained).at(-1);
    const warning = /^warning: this model has no trained student: these scores need one/;
    expect(last({})).toBe("this model has no trained student");
    expect(last({}, { errors: true })).toBe(
      "this model has no trained student: the column student_error means nothing, and the score does not use it",
    );
    expect(last({}, { map: "cleaned-map" })).toMatch(warning);
    expect(last({ score: "student", frameScore: { scoring: "mean" } })).toMatch(warning);
    expect(last({ score: "student" }, { map: "error" })).toMatch(warning);
    expect(last({ score: "teacher", frameScore: { scoring: "mean" } })).not.toMatch(/warning/);
  });
});

describe("options of the tests in training", () => {
  const tokensOf = (options: Partial<TrainCommandOptions>) =>
    configured(options as TrainCommandOptions, paperTraining, () => {}).test.evaluation.tokens;

  it("--masked-only counts removed tokens only, as in eval", () => {
    expect(tokensOf({})).toBe("all");
    expect(tokensOf({ maskedOnly: true })).toBe("removed");
    expect(tokensOf({ tokens: "visible" })).toBe("visible");
  });
});
