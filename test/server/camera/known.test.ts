import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  changeKnown,
  knownText,
  layAside,
  readKnown,
  removeKnown,
  takeKnown,
  writeKnown,
} from "../../../src/server/camera/known.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const by = { model: "abc", settings: "{}" };
const state = {
  ...{ threshold: 0.5, normal: 0.1, alarmsPerDay: 1, extrapolation: 2, seconds: 600, mapHigh: 0.3, minutes: [0.2] },
};
const day = { state, seen: { seconds: 600, blocks: [0.2, 0.1], median: 0.1, mapHigh: 0.3 } };
const references = {
  infrared: { width: 96, height: 54, data: Uint8Array.from({ length: 5184 }, (_, i) => i % 251) },
};

test("what was learnt is read again, the thresholds for the same model and settings only", async () => {
  expect(await readKnown(at("new"), by)).toEqual({ modes: {}, references: {} });
  await writeKnown(at("new"), by, { modes: { day }, references });
  expect(await readKnown(at("new"), by)).toEqual({ modes: { day }, references });
  // The usual view is one of pictures, whatever scores them.
  for (const other of [{ model: "other" }, { settings: "other" }]) {
    expect(await readKnown(at("new"), { ...by, ...other })).toEqual({ modes: {}, references });
  }
  await removeKnown(at("new"));
  await removeKnown(at("new"));
  expect(await readKnown(at("new"), by)).toEqual({ modes: {}, references: {} });
});

test("a file of an earlier version, without a usual view, is read", async () => {
  const content = { format: "sdmae-camera-calibration-1", made: "2026-11-30T00:00:00Z", ...by, modes: { day } };
  writeFileSync(at("calibration.json"), JSON.stringify(content));
  expect(await readKnown(at(), by)).toEqual({ modes: { day }, references: {} });
});

const pictures = (luma: unknown, width = 96) =>
  JSON.stringify({
    ...{ format: "sdmae-camera-calibration-1", made: "2026-11-30T00:00:00Z", ...by, modes: {} },
    references: { day: { width, height: 54, luma } },
  });

test.each([
  ["not JSON"],
  ["{}"],
  [JSON.stringify({ format: "sdmae-camera-calibration-1", ...by, modes: { day: {} } })],
  [pictures("AAAA")],
  [pictures("no base64!")],
  [pictures(Buffer.alloc(5184).toString("base64"), 97)],
])("a damaged file is named: %s", async (text) => {
  writeFileSync(at("calibration.json"), text);
  expect(await refusal(readKnown(at(), by))).toMatch(/calibration\.json is no calibration of a camera/);
});

test("what is known of another model is laid aside, and comes back with it; the usual view stays", async () => {
  const other = { ...by, model: "other" };
  const night = { infrared: day };
  await writeKnown(at(), by, { modes: { day }, references });
  await layAside(at(), other, night);
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ modes: { day }, references });
  await changeKnown(at(), other);
  expect(await readKnown(at(), other)).toEqual({ modes: night, references });
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ modes: { day }, references });
  // Other settings make other scores.
  await changeKnown(at(), { ...other, settings: "other" });
  expect(await readKnown(at(), by)).toEqual({ modes: {}, references });
  expect(await readKnown(at(), { ...other, settings: "other" })).toEqual({ modes: {}, references });
  // The hash of a damaged file names no other file.
  writeFileSync(at("calibration.json"), JSON.stringify({ format: "sdmae-camera-calibration-1", model: "../x" }));
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ modes: { day }, references });
});

/** What was learnt of so many seconds. */
const learnt = (seconds: number) => ({ day: { ...day, seen: { ...day.seen, seconds } } });
/** Times are told apart by the millisecond. */
const later = () => new Promise((resolve) => setTimeout(resolve, 5));

test("of the same model the newer counts, of however little video, and a copy is as old as its original", async () => {
  await writeKnown(at("one"), by, { modes: learnt(600), references });
  await later();
  await writeKnown(at("two"), by, { modes: learnt(5), references: {} });
  const text = (await knownText(at("two")))!;
  await takeKnown(at("one"), text);
  expect(await readKnown(at("one"), by)).toEqual({ modes: learnt(5), references });
  expect(await knownText(at("one"))).toBe(text);
  await later();
  await writeKnown(at("one"), by, { modes: learnt(7), references });
  await takeKnown(at("one"), text);
  expect((await readKnown(at("one"), by)).modes).toEqual(learnt(7));
});

test("what was forgotten does not come back from another machine, and is forgotten there too", async () => {
  await writeKnown(at("one"), by, { modes: learnt(600), references });
  const old = (await knownText(at("one")))!;
  await takeKnown(at("two"), old);
  await later();
  await removeKnown(at("one"));
  await takeKnown(at("one"), old);
  expect(await readKnown(at("one"), by)).toEqual({ modes: {}, references: {} });
  // The usual view is often learnt before there are levels.
  await writeKnown(at("one"), by, { modes: {}, references });
  await takeKnown(at("one"), old);
  expect((await readKnown(at("one"), by)).modes).toEqual({});
  const forgotten = (await knownText(at("one")))!;
  await takeKnown(at("two"), forgotten);
  expect((await readKnown(at("two"), by)).modes).toEqual({});
  await takeKnown(at("two"), old);
  expect((await readKnown(at("two"), by)).modes).toEqual({});
  // What is learnt again counts from then on.
  await later();
  await writeKnown(at("one"), by, { modes: learnt(3), references });
  await takeKnown(at("two"), (await knownText(at("one")))!);
  expect((await readKnown(at("two"), by)).modes).toEqual(learnt(3));
});

test("a usual view alone is not for other machines", async () => {
  await writeKnown(at(), by, { modes: {}, references });
  expect(await knownText(at())).toBeUndefined();
});
