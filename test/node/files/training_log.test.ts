import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, expect, test } from "vitest";
import { InputError } from "../../../src/errors.js";
import { type LogEntry, TrainingLog, type ValidationEntry } from "../../../src/node/files/training_log.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
let path: string;
beforeEach(() => {
  path = at("log.jsonl");
});

const run: LogEntry = {
  type: "run",
  time: "2026-01-02T03:04:05.678Z",
  title: "a run",
  settings: { batch: 16, betas: [0.9, 0.95] },
  adapter: "an adapter",
  versions: { sdmae: "0.1.0" },
};
/** Four steps an epoch. */
const step = (step: number, loss = step / 10): LogEntry => {
  const epoch = Math.ceil(step / 4);
  return { type: "step", epoch, stage: 1, step, loss, learningRate: 1e-4, samplesPerSecond: 40, seconds: step };
};
const epoch = (epoch: number): LogEntry => ({
  type: "epoch",
  epoch,
  stage: 1,
  loss: 0.5,
  seconds: 4 * epoch,
  steps: 4,
});
const tested = (epoch: number, best = false): LogEntry => {
  return { type: "test", epoch, stage: 1, microAuc: 0.9, best, seconds: 4 * epoch + 1 };
};
const validated = (epoch: number, figure = 0.75): ValidationEntry => ({
  ...{ type: "validation", epoch, stage: 1, figure, auc: 0.8, found: 0.7, worst: "stop" },
  way: {
    ...{ scoring: "top-anomaly", tokens: "all", topK: 3, rule: "teacher" },
    ...{ smoothing: { kind: "gaussian", sigma: 4 }, maskings: 1 },
  },
  kinds: [
    { kind: "fast", auc: 1, events: 4, found: 4 },
    { kind: "stop", auc: 0.6, events: 3, found: 0 },
  ],
  disturbances: [{ disturbance: "night", falseAlarms: 0.25 }],
  ...{ best: true, seconds: 4 * epoch + 1 },
});
const note: LogEntry = { type: "note", text: "two\nlines \u2028" };
const lines = (...entries: LogEntry[]) => entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
const inFile = () => readFileSync(path, "utf8");

async function written(...entries: LogEntry[]): Promise<TrainingLog> {
  const log = await TrainingLog.open(at());
  for (const entry of entries) log.append(entry);
  return log;
}

test("an appended entry is in the file at once, and is read again", async () => {
  const all = [run, step(1), step(2), step(3), step(4), epoch(1), validated(1), tested(1, true), note];
  const log = await written(...all);
  expect(inFile()).toBe(lines(...all));
  expect(log.entries()).toEqual(all);
  log.close();
  const again = await TrainingLog.open(at());
  expect(again.entries()).toEqual(all);
  again.append(step(5));
  expect(inFile()).toBe(lines(...all, step(5)));
  again.close();
});

test("a loss that is not finite is null in the file and NaN when read", async () => {
  (await written(step(1, Number.NaN))).close();
  expect(JSON.parse(inFile()).loss).toBeNull();
  const log = await TrainingLog.open(at());
  expect(log.entries()).toEqual([step(1, Number.NaN)]);
  log.close();
});

test("an incomplete last line is cut off", async () => {
  const torn = Buffer.from(lines(note));
  for (const cut of [1, 30, torn.length - 1]) {
    writeFileSync(path, lines(run, step(1)));
    appendFileSync(path, torn.subarray(0, cut));
    const log = await TrainingLog.open(at());
    expect(log.entries()).toEqual([run, step(1)]);
    expect(inFile()).toBe(lines(run, step(1)));
    log.append(step(2));
    expect(inFile()).toBe(lines(run, step(1), step(2)));
    log.close();
  }
  writeFileSync(path, '{"type":');
  const log = await TrainingLog.open(at());
  expect(log.entries()).toEqual([]);
  log.close();
});

test("a later line of the same step or epoch replaces the earlier one, in its place", async () => {
  const old = [run, step(1), step(2), step(4), epoch(1), validated(1), tested(1), step(5)];
  const rest = [epoch(1), validated(1, 0.5), tested(1, true), step(5, 8)];
  const again = [run, step(2, 7), step(3), ...rest, step(6)];
  const resolved = [run, step(1), step(2, 7), step(3), step(4), ...rest, run, step(6)];
  const log = await written(...old, ...again);
  expect(log.entries()).toEqual(resolved);
  expect(inFile()).toBe(lines(...old, ...again));
  log.close();
  const read = await TrainingLog.open(at());
  expect(read.entries()).toEqual(resolved);
  read.close();
});

test("the array of entries grows; if older entries change it is another array", async () => {
  const log = await written(step(1), step(2), epoch(1));
  const before = log.entries();
  log.append(step(3));
  log.append(note);
  expect(log.entries()).toBe(before);
  log.append(step(2, 9));
  expect(log.entries()).not.toBe(before);
  expect(before).toEqual([step(1), step(2), epoch(1), step(3), note]);
  log.close();
});

test("a rewind drops later steps, and the epochs that they belong to", async () => {
  const first = [run, step(1), step(2), step(3), step(4), epoch(1), validated(1), tested(1, true)];
  const second = [step(5), step(6), step(7), step(8), epoch(2), validated(2), tested(2), note];
  const third = [step(9), step(10)];
  const wanted: [number, LogEntry[]][] = [
    [10, [...first, ...second, ...third]],
    [99, [...first, ...second, ...third]],
    [9, [...first, ...second, step(9)]],
    [8, [...first, ...second]],
    // Within an epoch: its end, its validation and its test had not come yet.
    [7, [...first, step(5), step(6), step(7), note]],
    [4, [...first, note]],
    [0, [run, note]],
  ];
  for (const [to, kept] of wanted) {
    rmSync(path, { force: true });
    const log = await written(...first, ...second, ...third);
    await log.rewindTo(to);
    expect(log.entries(), `to ${to}`).toEqual(kept);
    expect(inFile()).toBe(lines(...kept));
    // Later entries go to the new file.
    log.append(step(11));
    expect(inFile()).toBe(lines(...kept, step(11)));
    expect(readdirSync(at())).toEqual(["log.jsonl"]);
    log.close();
  }
});

test.for([
  ['{"type":"step","epoch":1', "not JSON"],
  ["", "not JSON"],
  ["17", '"type" is not one of run, step, epoch, test, validation, note'],
  ['{"type":"constructor"}', '"type" is not one of run, step, epoch, test, validation, note'],
  [JSON.stringify({ ...step(2), step: 1.5 }), '"step" is 1.5'],
  [JSON.stringify({ ...step(2), loss: "0.1" }), '"loss" is "0.1"'],
  [JSON.stringify({ ...epoch(2), epoch: undefined }), '"epoch" is missing'],
  [JSON.stringify({ ...tested(2), best: 1 }), '"best" is 1'],
  [JSON.stringify({ ...validated(2), figure: null }), '"figure" is null'],
  [JSON.stringify({ ...validated(2), auc: 1.5 }), '"auc" is 1.5'],
  [JSON.stringify({ ...validated(2), found: -0.5 }), '"found" is -0.5'],
  [JSON.stringify({ ...validated(2), worst: ["stop"] }), '"worst" is ["stop"]'],
  [JSON.stringify({ ...validated(2), kinds: [] }), '"kinds" is []'],
  [JSON.stringify({ ...validated(2), kinds: {} }), '"kinds" is {}'],
  [JSON.stringify({ ...validated(2), disturbances: null }), '"disturbances" is null'],
] as const)("the message names a damaged line: %s", async ([line, what]) => {
  const content = `${lines(run, step(1))}${line}\n${lines(step(3))}`;
  writeFileSync(path, content);
  expect(await refusal(TrainingLog.open(at()))).toContain(`${path}:3: ${what}, so`);
  expect(inFile()).toBe(content);
});

const [fast] = validated(1).kinds;
const { way } = validated(1);
test.for<[field: keyof ValidationEntry, value: unknown]>([
  ["kinds", [fast, null]],
  ["kinds", [fast, ["fast"]]],
  ["kinds", [{ ...fast, kind: { toString: "fast" } }]],
  ["kinds", [{ ...fast, auc: "0.5" }]],
  ["kinds", [{ ...fast, auc: 1.01 }]],
  ["kinds", [{ ...fast, events: 0, found: 0 }]],
  ["kinds", [{ ...fast, found: 5 }]],
  ["kinds", [{ ...fast, found: -1 }]],
  ["kinds", [{ ...fast, found: 1.5 }]],
  ["way", null],
  ["way", {}],
  ["way", { ...way, scoring: 7 }],
  ["way", { ...way, topK: 0 }],
  ["way", { ...way, maskings: 1.5 }],
  ["way", { ...way, smoothing: "gaussian" }],
  ["way", { ...way, smoothing: { kind: "gaussian", sigma: "4" } }],
  ["way", { ...way, smoothing: { kind: "gaussian", sigma: -4 } }],
  ["disturbances", ["night"]],
  ["disturbances", [{ disturbance: "night", falseAlarms: 2 }]],
])("a validation with bad parts is refused: %j", async ([field, value]) => {
  writeFileSync(path, `${JSON.stringify({ ...validated(2), [field]: value })}\n`);
  expect(await refusal(TrainingLog.open(at()))).toContain(`${path}:1: "${field}" is ${JSON.stringify(value)}, so`);
});

test("the message of a damaged line is short", async () => {
  writeFileSync(path, `${JSON.stringify({ ...validated(2), kinds: Array(10_000).fill({ kind: "\u2028" }) })}\n`);
  const message = await refusal(TrainingLog.open(at()));
  expect(message.length).toBeLessThan(600 + path.length);
  expect(message).not.toMatch(/[\n\u2028]/);
});

test("names of another version are read", async () => {
  const other = validated(1);
  const entry = { ...other, worst: "new", way: { ...way, scoring: "new", smoothing: { kind: "new" } } };
  (await written(entry)).close();
  const log = await TrainingLog.open(at());
  expect(log.entries()).toEqual([entry]);
  log.close();
});

test("a missing folder is refused", async () => {
  await expect(TrainingLog.open(at("none"))).rejects.toThrow(
    new InputError(`${at("none", "log.jsonl")}: cannot be written (no such file or folder)`),
  );
});
