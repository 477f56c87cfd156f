import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EventLog } from "../../src/server/event_log.js";
import { readEvents } from "../../src/server/event_query.js";
import { changeOf, lineOf } from "../support/event_changes.js";
import { scratchPerTest } from "../support/folders.js";
import { refusal } from "../support/refusal.js";

const root = scratchPerTest();
const folder = (...parts: string[]) => root("events", ...parts);

test("the latest state of each is listed, newest first", async () => {
  const log = await EventLog.open(folder());
  await log.append(changeOf("a", "2026-11-29T10:00:00.000Z"));
  await log.append(changeOf("b", "2026-11-29T11:00:00.000Z", "new", { camera: "yard" }));
  await log.append(changeOf("c", "2026-11-30T10:00:00.000Z", "new", { kind: "offline" }));
  const end = { start: "2026-11-29T10:00:00.000Z", end: "2026-11-30T11:00:00.000Z" };
  await log.append(changeOf("a", "2026-11-30T11:00:00.000Z", "end", end));
  await log.append(changeOf("a", "2026-11-30T11:01:00.000Z", "clip", { ...end, clip: "clips/a.mp4" }));
  const list = async (filter = {}) => (await log.events(filter)).map(({ id }) => id);
  expect(await list()).toEqual(["c", "b", "a"]);
  expect((await log.events())[2]).toMatchObject({ ...end, clip: "clips/a.mp4" });
  expect(await list({ limit: 2 })).toEqual(["c", "b"]);
  expect(await list({ limit: 0 })).toEqual([]);
  expect(await list({ camera: "yard" })).toEqual(["b"]);
  expect(await list({ kind: "offline" })).toEqual(["c"]);
  expect(await list({ kind: "anomaly", limit: 1 })).toEqual(["b"]);
  // 11:30 in Berlin.
  expect(await list({ since: "2026-11-29T11:30:00+01:00" })).toEqual(["c", "b"]);
  expect(await refusal(log.events({ since: "soon" }))).toBe('"soon" is not a time such as 2026-11-30T14:15Z');
  await log.close();
});

test("a hundred thousand lines are merged", async () => {
  const lines: string[] = [];
  for (let i = 0; i < 100_000; i++) {
    const id = `e${String(Math.floor(i / 4)).padStart(6, "0")}`;
    const start = new Date(Date.UTC(2026, 10, 30) + 1000 * Math.floor(i / 4)).toISOString();
    lines.push(lineOf(changeOf(id, start, i % 4 === 0 ? "new" : "update", { text: `state ${i}` })));
  }
  mkdirSync(folder());
  writeFileSync(folder("2026-11-30.jsonl"), lines.join(""));
  const found = await readEvents(folder());
  expect(found).toHaveLength(25_000);
  expect(found.slice(0, 3).map(({ id, text: state }) => [id, state])).toEqual([
    ["e024999", "state 99999"],
    ["e024998", "state 99995"],
    ["e024997", "state 99991"],
  ]);
});

test("another process may read while the log is open", async () => {
  const log = await EventLog.open(folder());
  await log.append(changeOf("a"));
  appendFileSync(folder("2026-11-30.jsonl"), '{"change":"ne');
  expect((await readEvents(folder())).map(({ id }) => id)).toEqual(["a"]);
  expect(await readEvents(root("nothing"))).toEqual([]);
  await log.close();
});
