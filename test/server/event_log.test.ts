import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { EventLog, type EventLogOptions, type LogFile, newEventId } from "../../src/server/event_log.js";
import { comparePositions, type LoggedChange, logStart } from "../../src/server/log_lines.js";
import type { EventChange } from "../../src/server/records.js";
import { withBundle } from "../support/child.js";
import { changeOf, lineOf } from "../support/event_changes.js";
import { scratchPerTest } from "../support/folders.js";
import { refusal } from "../support/refusal.js";

const root = scratchPerTest();
const folder = (...parts: string[]) => root("events", ...parts);

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const ids = (logged: readonly LoggedChange[]) => logged.map(({ change }) => change.event.id);
const text = (name: string) => readFileSync(folder(name), "utf8");

/** Lays files of an earlier run. */
function lay(files: Record<string, string>): void {
  mkdirSync(folder(), { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(folder(name), content);
}

/** Real files on a disk that says it is full as long as `isFull` does. */
function disk(isFull: () => boolean, takes = 0) {
  const counts = { syncs: 0, opens: 0 };
  const openFile = async (path: string): Promise<LogFile> => {
    counts.opens++;
    const file = await open(path, "a");
    return {
      write: async (bytes) => {
        if (!isFull()) return file.write(bytes);
        // What fits is written, as systems do.
        if (takes > 0) return file.write(bytes.subarray(0, takes));
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      },
      sync: () => {
        counts.syncs++;
        return file.sync();
      },
      truncate: (length) => file.truncate(length),
      stat: () => file.stat(),
      close: () => file.close(),
    };
  };
  return { openFile, counts };
}

describe("appending and reading", () => {
  test("lines come back in the order of appends, each from its position", async () => {
    const log = await EventLog.open(folder());
    expect(log.end).toEqual(logStart);
    const changes = ["a", "b", "c"].map((id) => changeOf(id));
    const places = await Promise.all(changes.map((change) => log.append(change)));
    const logged = await all(log.read());
    expect(logged.map(({ change }) => change)).toEqual(changes);
    expect(logged.map(({ at }) => at)).toEqual(places);
    expect(logged[2].next).toEqual(log.end);
    expect(ids(await all(log.read({ from: places[1] })))).toEqual(["b", "c"]);
    expect(ids(await all(log.read({ from: logged[1].next })))).toEqual(["c"]);
    expect(await all(log.read({ from: log.end }))).toEqual([]);
    await log.close();
    expect(text("2026-11-30.jsonl")).toBe(changes.map(lineOf).join(""));
  });

  test("each UTC day has a file, and reading goes on from one to the next", async () => {
    const log = await EventLog.open(folder());
    const first = await log.append(changeOf("a", "2026-11-30T23:59:59.999Z"));
    const second = await log.append(changeOf("b", "2026-12-01T00:00:00.000Z"));
    expect(first).toEqual({ day: "2026-11-30", offset: 0 });
    expect(second).toEqual({ day: "2026-12-01", offset: 0 });
    expect(comparePositions(first, second)).toBeLessThan(0);
    const [{ next }] = await all(log.read());
    expect(ids(await all(log.read({ from: next })))).toEqual(["b"]);
    await log.close();
  });

  test("if the clock steps back to yesterday, the newest file takes the line", async () => {
    const log = await EventLog.open(folder());
    await Promise.all([
      log.append(changeOf("a", "2026-12-01T00:00:00.000Z")),
      log.append(changeOf("b", "2026-11-30T23:59:00.000Z")),
    ]);
    expect(ids(await all(log.read()))).toEqual(["a", "b"]);
    expect(readdirSync(folder()).filter((name) => name.endsWith(".jsonl"))).toEqual(["2026-12-01.jsonl"]);
    await log.close();
  });

  test("a log that is opened again goes on behind its last line", async () => {
    const log = await EventLog.open(folder());
    await log.append(changeOf("a"));
    const { end } = log;
    await log.close();
    const again = await EventLog.open(folder());
    expect(again.end).toEqual(end);
    expect(await again.append(changeOf("b"))).toEqual(end);
    expect(ids(await all(again.read()))).toEqual(["a", "b"]);
    await again.close();
  });

  test("appends of the same moment share one flush to disk, and resolve after it", async () => {
    const { openFile, counts } = disk(() => false);
    const log = await EventLog.open(folder(), { openFile });
    const flushed: number[] = [];
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => log.append(changeOf(`e${i}`)).then(() => flushed.push(counts.syncs))),
    );
    expect(counts.syncs).toBe(1);
    expect(flushed).toEqual(Array(50).fill(1));
    await log.close();
  });

  test("what is no change, and what comes after closing, is refused", async () => {
    const log = await EventLog.open(folder());
    await expect(log.append({ ...changeOf("a"), time: "yesterday" })).rejects.toThrow("not a change of an event");
    await expect(log.append({} as EventChange)).rejects.toThrow("not a change of an event");
    await log.close();
    await expect(log.append(changeOf("a"))).rejects.toThrow("the event log is closed");
  });

  test("an append right after another has resolved is written, too", async () => {
    const log = await EventLog.open(folder());
    for (let i = 0; i < 20; i++) await log.append(changeOf(`e${i}`));
    expect(await all(log.read())).toHaveLength(20);
    await log.close();
  });
});

describe("damage", () => {
  test("a last line without its break is moved aside, and nothing before it", async () => {
    const torn = lineOf(changeOf("b")).slice(0, 40);
    lay({ "2026-11-30.jsonl": lineOf(changeOf("a")) + torn });
    const warnings: string[] = [];
    const log = await EventLog.open(folder(), { onWarning: (message) => warnings.push(message) });
    expect(text("2026-11-30.jsonl")).toBe(lineOf(changeOf("a")));
    expect(text("2026-11-30.damaged")).toBe(`${torn}\n`);
    expect(warnings).toEqual([expect.stringContaining("its end was damaged; 40 bytes were moved")]);
    await log.append(changeOf("c"));
    expect(ids(await all(log.read()))).toEqual(["a", "c"]);
    await log.close();
  });

  test("what was moved aside before stays", async () => {
    lay({ "2026-11-30.jsonl": "second", "2026-11-30.damaged": "first\n" });
    await (await EventLog.open(folder())).close();
    expect(text("2026-11-30.damaged")).toBe("first\nsecond\n");
  });

  test("several last lines that are no JSON are moved, as a power cut leaves zeros", async () => {
    const zeros = "\0".repeat(5000);
    lay({ "2026-11-30.jsonl": `${lineOf(changeOf("a"))}${zeros}\n{"change":\n` });
    const log = await EventLog.open(folder());
    expect(text("2026-11-30.jsonl")).toBe(lineOf(changeOf("a")));
    expect(text("2026-11-30.damaged")).toBe(`${zeros}\n{"change":\n\n`);
    await log.close();
  });

  test("damaged lines in the middle are left out, and each is counted and reported once", async () => {
    const parts = ["{torn\n", '{"change":"new"}\n', `${"x".repeat(2_000_000)}\n`];
    lay({ "2026-11-30.jsonl": parts.map((part, i) => part + lineOf(changeOf(`e${i}`))).join("") });
    const warnings: string[] = [];
    const log = await EventLog.open(folder(), { onWarning: (message) => warnings.push(message) });
    expect(ids(await all(log.read()))).toEqual(["e0", "e1", "e2"]);
    await all(log.read());
    expect((await log.events()).map(({ id }) => id)).toEqual(["e2", "e1", "e0"]);
    expect(log.damagedLines).toBe(3);
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toBe(`${folder("2026-11-30.jsonl")}: the line at byte 0 is damaged; it is left out`);
    await log.close();
  });

  test("what a kill left of a new reserve is removed", async () => {
    lay({ "reserve.123-abcd.tmp": "half" });
    await (await EventLog.open(folder())).close();
    expect(existsSync(folder("reserve.123-abcd.tmp"))).toBe(false);
  });
});

describe("a full disk", () => {
  test("the reserve is of real bytes, and is deleted so that events go on", async () => {
    const { openFile } = disk(() => existsSync(folder("reserve")));
    const log = await EventLog.open(folder(), { openFile });
    const { size, blocks } = statSync(folder("reserve"));
    expect(size).toBe(1024 * 1024);
    expect(512 * blocks).toBeGreaterThanOrEqual(size);
    await log.append(changeOf("a"));
    expect(existsSync(folder("reserve"))).toBe(false);
    expect(ids(await all(log.read()))).toEqual(["a"]);
    await log.close();
  });

  test("the reserve is made again later", async () => {
    let full = true;
    const { openFile } = disk(() => full && existsSync(folder("reserve")));
    const log = await EventLog.open(folder(), { openFile, reserveInterval: 0 });
    await log.append(changeOf("a"));
    full = false;
    await log.append(changeOf("b"));
    await log.close();
    expect(statSync(folder("reserve")).size).toBe(1024 * 1024);
  });

  test("without the reserve, lines wait in memory and come to disk in order", async () => {
    let full = true;
    const waits: number[] = [];
    const warnings: string[] = [];
    const options: EventLogOptions = {
      openFile: disk(() => full).openFile,
      onWarning: (message) => warnings.push(message),
      sleep: async (milliseconds) => {
        waits.push(milliseconds);
        expect(log.end).toEqual({ day: "2026-11-30", offset: 0 });
        expect(log.problem).toMatch(/cannot be written \(ENOSPC/);
        if (waits.length === 2) void log.append(changeOf("c"));
        if (waits.length === 3) full = false;
      },
    };
    const log = await EventLog.open(folder(), options);
    await Promise.all([log.append(changeOf("a")), log.append(changeOf("b"))]);
    expect(waits).toEqual([1000, 1000, 1000]);
    expect(ids(await all(log.read()))).toEqual(["a", "b", "c"]);
    expect(log.problem).toBeUndefined();
    expect(warnings).toEqual([
      `${folder()}: cannot be written (ENOSPC: no space left on device, write); events wait in memory`,
      `${folder()}: can be written again`,
    ]);
    await log.close();
  });

  test("what was half written is cut off before the next attempt", async () => {
    let full = false;
    const { openFile } = disk(() => full, 30);
    const log = await EventLog.open(folder(), {
      openFile,
      sleep: async () => {
        full = false;
      },
    });
    await log.append(changeOf("a"));
    full = true;
    await log.append(changeOf("b"));
    expect(text("2026-11-30.jsonl")).toBe(lineOf(changeOf("a")) + lineOf(changeOf("b")));
    await log.close();
  });

  test("readers never see what is not flushed", async () => {
    let full = true;
    const seen: number[] = [];
    const { openFile } = disk(() => full, 30);
    const log = await EventLog.open(folder(), {
      openFile,
      sleep: async () => {
        seen.push((await all(log.read())).length, (await log.events()).length, log.openChanges().length);
        full = false;
      },
    });
    await log.append(changeOf("a"));
    expect(seen).toEqual([0, 0, 0]);
    await log.close();
  });

  test("if too many lines wait, more are refused", async () => {
    let wake = () => {};
    let full = true;
    const { openFile } = disk(() => full);
    const log = await EventLog.open(folder(), {
      openFile,
      mostWaiting: 2 * lineOf(changeOf("a")).length,
      sleep: () =>
        new Promise((resolve) => {
          wake = resolve;
        }),
    });
    const appended = [log.append(changeOf("a")), log.append(changeOf("b"))];
    await expect(log.append(changeOf("c"))).rejects.toThrow("too many events wait to be written");
    full = false;
    // It may not have slept yet.
    const settled = Promise.all(appended);
    for (let done = false; !done; wake()) done = await Promise.race([settled.then(() => true), tick()]);
    await log.append(changeOf("d"));
    expect(ids(await all(log.read()))).toEqual(["a", "b", "d"]);
    await log.close();
  });

  test("closing tries once more, then says what was not written", async () => {
    const { openFile } = disk(() => true);
    const log = await EventLog.open(folder(), { openFile });
    const failed = expect(log.append(changeOf("a"))).rejects.toThrow("cannot be written (ENOSPC");
    await log.close();
    await failed;
    expect(text("2026-11-30.jsonl")).toBe("");
  });
});

const tick = () => new Promise<false>((resolve) => setImmediate(() => resolve(false)));

describe("events", () => {
  test("events that have not ended are known after a start, also those of earlier days", async () => {
    const log = await EventLog.open(folder());
    await log.append(changeOf("old", "2026-11-02T10:00:00.000Z", "new", { kind: "offline" }));
    for (const day of ["03", "04"]) await log.append(changeOf(`e${day}`, `2026-11-${day}T10:00:00.000Z`));
    await log.append(changeOf("e03", "2026-11-05T10:00:00.000Z", "end", { end: "2026-11-05T10:00:00.000Z" }));
    await log.append(changeOf("e04", "2026-11-05T11:00:00.000Z", "update", { text: "still there" }));
    const expected = [
      expect.objectContaining({ id: "old" }),
      expect.objectContaining({ id: "e04", text: "still there" }),
    ];
    expect(log.openChanges().map(({ event }) => event)).toEqual(expected);
    await log.close();
    const again = await EventLog.open(folder());
    expect(again.openChanges().map(({ event }) => event)).toEqual(expected);
    await again.close();
  });
});

describe("ids", () => {
  test("an id names its time and camera, and can be a file name", () => {
    const time = new Date("2096-11-30T14:15:02.123Z");
    expect(newEventId("front", time, () => 0.2468)).toBe("20961130T141502123-front-3f2e48");
    expect(newEventId("a/../ü", time, () => 0)).toBe("20961130T141502124-a_____-000000");
  });

  test("later ids sort behind, also if the clock stands or steps back", () => {
    const times = ["2097-01-01T00:00:00.000Z", "2097-01-01T00:00:00.000Z", "2096-12-31T23:00:00.000Z"];
    const made = [...times, "2097-01-01T00:00:00.003Z"].map((time, i) => newEventId("zyxw"[i], new Date(time)));
    expect([...made].sort()).toEqual(made);
    expect(made[3]).toMatch(/^20970101T000000003-w-/);
  });
});

test("a folder that cannot be made is refused in one line", async () => {
  await writeFile(root("events"), "a file");
  expect(await refusal(EventLog.open(folder()))).toMatch(/cannot be written/);
});

/** Appends for ever, and prints each id once it is on disk. */
const endless = `
  import { writeSync } from "node:fs";
  import { EventLog, newEventId } from "./src/server/event_log.ts";
  const log = await EventLog.open(process.argv[2]);
  const append = async () => {
    for (;;) {
      const time = new Date();
      const id = newEventId("front", time);
      const event = { id, camera: "front", kind: "anomaly", start: time.toISOString(), zones: [], text: "x".repeat(900) };
      await log.append({ change: "new", time: time.toISOString(), event });
      writeSync(1, id + "\\n");
    }
  };
  await Promise.all([append(), append(), append()]);
`;

/** Runs the program until it has printed `lines` lines, then kills it. */
async function killAfter(file: string, target: string, lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [file, target], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    output += part;
    if (output.split("\n").length > lines) child.kill("SIGKILL");
  });
  const [, signal] = await once(child, "close");
  expect(signal).toBe("SIGKILL");
  return output.split("\n").slice(0, -1);
}

test("no acknowledged line is lost when the process is killed, 30 times at random moments", async () => {
  await withBundle(endless, async (file) => {
    // Two at a time, each in a folder of its own.
    await Promise.all(
      [root("one"), root("two")].map(async (target) => {
        const acknowledged: string[] = [];
        for (let i = 0; i < 15; i++) acknowledged.push(...(await killAfter(file, target, 1 + 40 * Math.random())));
        const log = await EventLog.open(target);
        const logged = ids(await all(log.read()));
        expect(log.damagedLines).toBe(0);
        await log.close();
        expect(acknowledged.length).toBeGreaterThanOrEqual(15);
        const there = new Set(logged);
        expect(there.size).toBe(logged.length);
        expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
      }),
    );
  });
});
