import { describe, expect, test } from "vitest";
import { validationKinds } from "../../../../src/data/anomalies/validation_anomaly.js";
import { disturbances } from "../../../../src/data/disturbance.js";
import { frameScorings, tokenChoices } from "../../../../src/detector/frame_score.js";
import type { LoggedWay } from "../../../../src/node/files/training_log.js";
import { disturbanceWords, kindWords, wayWords } from "../../../../src/report/training/page/words.js";
import { scoringsOf } from "../../../../src/train/selection.js";

const usual: LoggedWay = {
  ...{ scoring: "mean", tokens: "all", topK: 1, rule: "teacher" },
  ...{ smoothing: { kind: "none" }, maskings: 1 },
};

test.for<[Partial<LoggedWay>, string]>([
  [{}, "A frame's score is the mean of the teacher's errors, not smoothed over time, with one masking per frame."],
  [
    { scoring: "top-anomaly", topK: 3, smoothing: { kind: "gaussian", sigma: 4 }, maskings: 3 },
    "A frame's score is the mean of the 3 largest values of the predicted anomaly map, smoothed over time by a Gaussian of 4 frames, with the mean over 3 maskings per frame.",
  ],
  [
    { scoring: "top-anomaly" },
    "A frame's score is the largest value of the predicted anomaly map, not smoothed over time, with one masking per frame.",
  ],
  [
    { scoring: "moving-anomaly", tokens: "visible" },
    "A frame's score is the mean of the predicted anomaly map times motion, over visible tokens only, not smoothed over time, with one masking per frame.",
  ],
  [
    { scoring: "motion-weighted", rule: "sum" },
    "A frame's score is the mean of the errors of teacher and student together times motion, not smoothed over time, with one masking per frame.",
  ],
  [
    { scoring: "top-k", topK: 5, rule: "student" },
    "A frame's score is the mean of the 5 largest of the student's errors, not smoothed over time, with one masking per frame.",
  ],
  // Names of another version, some of which every object has.
  [
    { scoring: "constructor", tokens: "odd", rule: "toString", smoothing: { kind: "<b>" } },
    "A frame's score is \u201cconstructor\u201d (tokens: odd), smoothed over time by \u201c<b>\u201d, with one masking per frame.",
  ],
])("a way to score is a sentence: %j", ([changes, sentence]) => {
  expect(wayWords({ ...usual, ...changes })).toBe(sentence);
});

test("no two ways that training chooses from have the same words", () => {
  const ways = [...scoringsOf(1), ...scoringsOf(2)].map((scoring) => wayWords({ ...usual, ...scoring }));
  expect(ways.length).toBeGreaterThan(10);
  expect(new Set(ways).size).toBe(ways.length);
  for (const scoring of frameScorings) expect(wayWords({ ...usual, scoring })).not.toContain("\u201c");
  for (const tokens of tokenChoices) expect(wayWords({ ...usual, tokens })).not.toContain("tokens:");
});

describe.each([
  { what: "kind", names: validationKinds as readonly string[], words: kindWords },
  { what: "disturbance", names: disturbances as readonly string[], words: disturbanceWords },
])("each $what has words of its own", ({ names, words }) => {
  test("those that are known", () => {
    const all = names.map(words);
    expect(new Set(all).size).toBe(names.length);
    expect(all.every((text) => text.length > 10)).toBe(true);
  });

  test("none that is unknown", () => {
    expect(["", "new", "constructor", "__proto__"].map(words)).toEqual(["", "", "", ""]);
  });
});
