import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Outcome } from "../../../src/server/camera/decisions.js";
import { EventKeeper, type EventKeeperHost } from "../../../src/server/camera/event_keeper.js";
import type { CameraEvent, EventChange } from "../../../src/server/records.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();
const event: CameraEvent = { id: "e1", camera: "cam", kind: "anomaly", start: "2026-11-30T14:00:00.000Z", zones: [] };
const base = "clips/cam/2026-11-30/e1";
const picture = (text: string) => Buffer.from(text);
const outcome = (level: number) => ({ event: event.id, level }) as Outcome;

/** A keeper, and all that it does in its order. */
function keeperOf(change: Partial<EventKeeperHost> = {}, clip: () => Promise<boolean> = async () => true) {
  const calls: string[] = [];
  const changes: EventChange[] = [];
  const keeper = new EventKeeper({
    ...{ data: at("data"), clip: { before: 5, after: 3 }, clock: { wall: () => 0 }, canRecord: () => true },
    keep: async (one) => {
      calls.push(`keep ${one.change}`);
      changes.push(one);
    },
    warn: (line) => calls.push(line),
    ...change,
  });
  keeper.recorder = {
    hold: (id, connection, time) => calls.push(`hold ${id} ${connection} ${time}`),
    release: (id) => calls.push(`release ${id}`),
    clip: (id, { connection, from, to }) => {
      calls.push(`clip ${id} ${connection} ${from} ${to}`);
      return clip();
    },
  };
  return { keeper, calls, changes };
}

test("an event has the picture of its highest level, and a clip with some seconds before and after it", async () => {
  const { keeper, calls, changes } = keeperOf();
  keeper.take("new", event, { connection: 2, time: 100 }, picture("begin"));
  keeper.seen(outcome(0.6), picture("first"));
  keeper.seen(outcome(0.9), picture("peak"));
  keeper.seen(outcome(0.7), picture("last"));
  keeper.take("end", event, { connection: 2, time: 110 }, picture("after"));
  await keeper.close();
  expect(calls).toEqual(["hold e1 2 100", "keep new", "keep end", "clip e1 2 95 113", "keep clip"]);
  expect(readFileSync(at("data", `${base}.jpg`), "utf8")).toBe("peak");
  expect(changes.map(({ event: { snapshot, clip } }) => [snapshot, clip])).toEqual([
    [`${base}.jpg`, undefined],
    [`${base}.jpg`, undefined],
    [`${base}.jpg`, `${base}.mp4`],
  ]);
});

test("an update shows its own moment if that is the highest", async () => {
  const { keeper } = keeperOf();
  const shown = () => readFileSync(at("data", `${base}.jpg`), "utf8");
  const peaked = (level: number): CameraEvent => ({ ...event, peak: { time: event.start, level } });
  const written: string[] = [];
  for (const [change, level, text] of [
    ["new", 0.6, "begin"],
    ["update", 0.9, "higher"],
    // Another zone was seen.
    ["update", 0.9, "elsewhere"],
    ["end", 0.9, "after"],
  ] as const) {
    keeper.take(change, peaked(level), undefined, picture(text));
    keeper.seen(outcome(0.5), picture("lower"));
    await keeper.close();
    written.push(shown());
  }
  expect(written).toEqual(["begin", "higher", "higher", "higher"]);
});

test("an event that ends without a peak keeps the picture of its begin", async () => {
  const { keeper } = keeperOf();
  keeper.take("new", event, undefined, picture("begin"));
  keeper.take("end", event, undefined, picture("after"));
  await keeper.close();
  expect(readFileSync(at("data", `${base}.jpg`), "utf8")).toBe("begin");
});

test("the clip of an event ends with its connection", async () => {
  const { keeper, calls } = keeperOf();
  keeper.take("new", event, { connection: 2, time: 100 }, undefined);
  keeper.take("end", event, { connection: 3, time: 4 }, undefined);
  await keeper.close();
  // Ten minutes at most.
  expect(calls).toContain("clip e1 2 95 700");
});

test("a clip shows ten minutes of an event at most", async () => {
  const { keeper, calls } = keeperOf();
  keeper.take("new", event, { connection: 2, time: 100 }, undefined);
  keeper.take("end", event, { connection: 2, time: 100_000 }, undefined);
  await keeper.close();
  expect(calls).toContain("clip e1 2 95 700");
});

test("without a recording, and for a camera that is offline, there is no clip", async () => {
  const { keeper, calls, changes } = keeperOf();
  keeper.take("new", event, undefined, undefined);
  keeper.take("end", event, { connection: 1, time: 1 }, undefined);
  const offline: CameraEvent = { ...event, id: "e2", kind: "offline" };
  keeper.take("new", offline, { connection: 1, time: 1 }, picture("old"));
  keeper.take("end", offline, { connection: 1, time: 2 }, picture("old"));
  await keeper.close();
  expect(calls).toEqual(["keep new", "keep end", "keep new", "keep end"]);
  expect(changes.every(({ event: { snapshot } }) => snapshot === undefined)).toBe(true);
});

test("on a full disk the event is kept without a picture; a picture that cannot be written is a warning", async () => {
  const full = keeperOf({ canRecord: () => false });
  full.keeper.take("new", event, undefined, picture("begin"));
  await full.keeper.close();
  expect([full.calls, existsSync(at("data"))]).toEqual([["keep new"], false]);
  mkdirSync(at("data"));
  writeFileSync(at("data", "clips"), "no folder");
  const blocked = keeperOf();
  blocked.keeper.take("new", event, undefined, picture("begin"));
  await blocked.keeper.close();
  expect(blocked.calls).toEqual([expect.stringMatching(/^no snapshot: /), "keep new"]);
});

test("a clip that cannot be made, and a change that cannot be kept, are warnings", async () => {
  const failing = keeperOf({}, () => Promise.reject(new Error("ffmpeg fails")));
  const empty = keeperOf({}, async () => false);
  for (const { keeper } of [failing, empty]) {
    keeper.take("new", event, { connection: 1, time: 1 }, undefined);
    keeper.take("end", event, { connection: 1, time: 2 }, undefined);
    await keeper.close();
  }
  expect(failing.calls.slice(-2)).toEqual(["release e1", "no clip of e1: ffmpeg fails"]);
  expect(empty.calls.at(-1)).toBe("no clip of e1: nothing was recorded");
  const lost = keeperOf({ keep: () => Promise.reject(new Error("the disk is gone")) });
  lost.keeper.take("new", event, undefined, undefined);
  await lost.keeper.close();
  expect(lost.calls).toEqual(["the disk is gone"]);
});
