import { mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { wasDeleted } from "../../src/server/event_files.js";
import type { CameraEvent } from "../../src/server/records.js";
import { scratchPerTest } from "../support/folders.js";

const data = scratchPerTest();
const event = (files: Partial<CameraEvent>): CameraEvent => {
  return { id: "a", camera: "front", kind: "anomaly", start: "2026-11-30T14:29:41.008Z", zones: [], ...files };
};

test("a clip that is there was not deleted; an event without files has lost none", async () => {
  mkdirSync(data("clips/front/2026-11-30"), { recursive: true });
  for (const name of ["a.mp4", "a.jpg"]) writeFileSync(data("clips/front/2026-11-30", name), "");
  expect(await wasDeleted(data(), event({ clip: "clips/front/2026-11-30/a.mp4" }))).toBe(false);
  expect(await wasDeleted(data(), event({ snapshot: "clips/front/2026-11-30/a.jpg" }))).toBe(false);
  expect(await wasDeleted(data(), event({}))).toBe(false);
});

test("a clip that is gone was deleted, also with its day", async () => {
  expect(await wasDeleted(data(), event({ clip: "clips/front/2026-11-30/a.mp4" }))).toBe(true);
  mkdirSync(data("clips/front"), { recursive: true });
  writeFileSync(data("clips/front/2026-11-30"), "no folder");
  expect(await wasDeleted(data(), event({ clip: "clips/front/2026-11-30/a.mp4" }))).toBe(true);
});

test("nothing outside of the clips is looked at", async () => {
  writeFileSync(data("secret"), "");
  for (const clip of ["secret", "clips/../secret", "/etc/hostname", "clips/.x/a.mp4"]) {
    expect(await wasDeleted(data(), event({ clip }))).toBe(true);
  }
});
