import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { changeKnown, layAside, readKnown, writeKnown } from "../../../src/server/camera/known.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const by = { model: "abc", settings: "{}" };
const state = {
  ...{ threshold: 0.5, normal: 0.1, alarmsPerDay: 1, extrapolation: 2, seconds: 600, mapHigh: 0.3, minutes: [0.2] },
};
const day = { state, seen: { seconds: 600, blocks: [0.2, 0.1], median: 0.1, mapHigh: 0.3 } };

test("what was learnt is read again, for the same model and settings only", async () => {
  expect(await readKnown(at("new"), by)).toEqual({});
  await writeKnown(at("new"), by, { day });
  expect(await readKnown(at("new"), by)).toEqual({ day });
  expect(await readKnown(at("new"), { ...by, model: "other" })).toEqual({});
  expect(await readKnown(at("new"), { ...by, settings: "other" })).toEqual({});
});

test.each([
  ["not JSON"],
  ["{}"],
  [JSON.stringify({ format: "sdmae-camera-calibration-1", ...by, modes: { day: {} } })],
])("a damaged file is named: %s", async (text) => {
  writeFileSync(at("calibration.json"), text);
  expect(await refusal(readKnown(at(), by))).toMatch(/calibration\.json is no calibration of a camera/);
});

test("what is known of another model is laid aside, and comes back with it", async () => {
  const other = { ...by, model: "other" };
  const night = { infrared: day };
  await writeKnown(at(), by, { day });
  await layAside(at(), other, night);
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ day });
  await changeKnown(at(), other);
  expect(await readKnown(at(), other)).toEqual(night);
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ day });
  // Other settings make other scores.
  await changeKnown(at(), { ...other, settings: "other" });
  expect(await readKnown(at(), by)).toEqual({});
  expect(await readKnown(at(), { ...other, settings: "other" })).toEqual({});
  // The hash of a damaged file names no other file.
  writeFileSync(at("calibration.json"), JSON.stringify({ format: "sdmae-camera-calibration-1", model: "../x" }));
  await changeKnown(at(), by);
  expect(await readKnown(at(), by)).toEqual({ day });
});
