import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EventLog } from "../../src/server/event_log.js";
import { followChanges, readEvents } from "../../src/server/event_query.js";
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
  expect(await list({ until: "2026-11-29T11:00:00Z" })).toEqual(["a"]);
  expect(await list({ since: "2026-11-29T11:00:00Z", until: "2026-11-30T10:00:00.001Z" })).toEqual(["c", "b"]);
  expect(await list({ until: "2026-11-30T00:00:00Z", limit: 1 })).toEqual(["b"]);
  expect(await refusal(log.events({ until: "soon" }))).toBe('"soon" is not a time such as 2026-11-30T14:15Z');
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

/** Follows a folder; `next` gives what comes, as id and change. */
function followed(filter: Parameters<typeof followChanges>[1] = {}) {
  const end = new AbortController();
  const damaged: string[] = [];
  const options = {
    signal: end.signal,
    interval: 5,
    onDamaged: (day: string, at: number) => damaged.push(`${day}:${at}`),
  };
  const changes = followChanges(folder(), filter, options);
  const next = async () => {
    const { value } = await changes.next();
    return value && `${value.event.id} ${value.change}`;
  };
  return { next, end, damaged };
}

test("changes are followed as they come, over the end of a day, without those before", async () => {
  mkdirSync(folder());
  writeFileSync(folder("2026-11-30.jsonl"), lineOf(changeOf("old")));
  const { next, end, damaged } = followed();
  const first = next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const line = lineOf(changeOf("a"));
  appendFileSync(folder("2026-11-30.jsonl"), line.slice(0, 50));
  await new Promise((resolve) => setTimeout(resolve, 50));
  appendFileSync(folder("2026-11-30.jsonl"), `${line.slice(50)}torn\n`);
  expect(await first).toBe("a new");
  writeFileSync(folder("2026-12-01.jsonl"), lineOf(changeOf("b", "2026-12-01T00:00:00.000Z")));
  expect(await next()).toBe("b new");
  expect(damaged).toEqual([`2026-11-30:${lineOf(changeOf("old")).length + line.length}`]);
  const waiting = next();
  end.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("with a time, changes of then and later come first; others are left out", async () => {
  mkdirSync(folder());
  const changes = [
    changeOf("early", "10:00:00"),
    changeOf("yard", "12:00:00", "new", { camera: "yard" }),
    changeOf("off", "12:00:00", "new", { kind: "offline" }),
    changeOf("late", "12:00:00"),
  ];
  writeFileSync(folder("2026-11-30.jsonl"), changes.map(lineOf).join(""));
  const { next, end } = followed({ since: "2026-11-30T11:00:00Z", camera: "front", kind: "anomaly" });
  expect(await next()).toBe("late new");
  end.abort();
  expect(await refusal(followed({ since: "soon" }).next())).toContain("is not a time");
});

test("a folder without any file is followed, too", async () => {
  mkdirSync(folder());
  const { next, end } = followed();
  const first = next();
  // What is there when it begins does not count.
  await new Promise((resolve) => setTimeout(resolve, 200));
  writeFileSync(folder("2026-11-30.jsonl"), lineOf(changeOf("a")));
  expect(await first).toBe("a new");
  end.abort();
});
