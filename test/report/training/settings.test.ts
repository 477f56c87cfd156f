import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { trainCommand } from "../../../src/cli/commands/train.js";
import type { RunEntry } from "../../../src/node/files/training_log.js";
import { settingsOf, valuesOf } from "../../../src/report/training/settings.js";
import { paperTraining } from "../../../src/train/config.js";

const options = new Set(trainCommand().options.map(({ long }) => long));
const words = ["channels of the input", "channels of the output", "blocks of the student"];
const logged = ["ped2", "scene"].flatMap((name) =>
  readFileSync(new URL(`../../../models/${name}.log.jsonl`, import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line.startsWith('{"type":"run"'))
    .map((line) => (JSON.parse(line) as RunEntry).settings),
);

test("every setting is named by the option that sets it, or in words", () => {
  expect(logged.length).toBeGreaterThan(1);
  const data = { dataset: "folder", root: "videos", labels: "labels", split: "validation" };
  const smoothing = { kind: "gaussian", sigma: 2 };
  const test = { ...paperTraining.test, evaluation: { ...paperTraining.test.evaluation, smoothing } };
  for (const settings of [{ ...data, ...paperTraining }, { ...paperTraining, test }, ...logged]) {
    const names = settingsOf(settings).map(([name]) => name);
    expect(names.filter((name) => !options.has(name) && !words.includes(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  }
});

test("values are written as the options take them, those of another version as they are", () => {
  const settings = {
    scene: { trainSeeds: [1, 2, 3, 4], testSeeds: [7] },
    size: { height: 128, width: 192 },
    ...{ microBatch: 0, epochSamples: 0, batch: 0 },
    pseudo: { scale: [0.25, 2], unheardOf: 3 },
    constructor: "none",
  };
  expect(settingsOf(settings)).toEqual([
    ["--scene-seeds", "1-4"],
    ["--scene-test-seeds", "7"],
    ["--size", "128x192"],
    ["--micro-batch", "0 (as many as fit into memory)"],
    ["--epoch-samples", "0 (all, once)"],
    ["--batch", "0"],
    ["--scale", "0.25, 2"],
    ["pseudo.unheardOf", "3"],
    ["constructor", "none"],
  ]);
  expect(settingsOf({ size: "large" })).toEqual([["--size", "large"]]);
  expect(valuesOf({ a: { b: [1, 2], c: null } })).toEqual([
    ["a.b", "1, 2"],
    ["a.c", "null"],
  ]);
});
