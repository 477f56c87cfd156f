import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { CameraEvent, ChangeKind } from "../../../src/server/records.js";
import { folderSink } from "../../../src/server/sinks/folder.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const root = scratchPerTest();
const time = "2026-11-30T14:15:02.123Z";
const first: CameraEvent = { id: "e1", camera: "front", kind: "anomaly", start: time, zones: [] };
const never = new AbortController().signal;

/** A sink into `out` with a data folder, and how changes are sent to it. */
function setUp(options: { dataFolder?: string } = { dataFolder: root("data") }) {
  mkdirSync(root("data", "clips"), { recursive: true });
  writeFileSync(root("data", "clips", "e1.jpg"), "a picture");
  writeFileSync(root("data", "clips", "e1.mp4"), "a clip");
  writeFileSync(root("secret.txt"), "a secret");
  const warnings: string[] = [];
  const sink = folderSink({
    name: "archive",
    folder: root("out"),
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  const send = (change: ChangeKind, more: Partial<CameraEvent> = {}) =>
    sink.send({ change, time, event: { ...first, ...more } }, never);
  return { send, warnings };
}

const read = (...parts: string[]) => readFileSync(root("out", ...parts), "utf8");

test("the latest state of an event is a JSON file", async () => {
  const { send } = setUp();
  await send("new");
  expect(JSON.parse(read("front", "e1.json"))).toEqual(first);
  await send("update", { text: "two people" });
  expect(JSON.parse(read("front", "e1.json"))).toEqual({ ...first, text: "two people" });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.json"]);
});

test("pictures are copied at the end, and clips once they are there", async () => {
  const { send } = setUp();
  await send("update", { snapshot: "clips/e1.jpg" });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.json"]);
  await send("end", { snapshot: "clips/e1.jpg" });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.jpg", "e1.json"]);
  await send("clip", { snapshot: "clips/e1.jpg", clip: "clips/e1.mp4" });
  expect([read("front", "e1.jpg"), read("front", "e1.mp4")]).toEqual(["a picture", "a clip"]);
});

test("without a data folder nothing is copied", async () => {
  const { send } = setUp({});
  await send("clip", { clip: "clips/e1.mp4" });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.json"]);
});

test("files outside of the data folder are not copied", async () => {
  const { send, warnings } = setUp();
  for (const clip of ["../secret.txt", root("secret.txt"), "clips/../../secret.txt", "."]) await send("clip", { clip });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.json"]);
  expect(warnings).toHaveLength(4);
  expect(warnings[0]).toBe("archive: ../secret.txt: is outside of the data folder");
});

test("files that are gone are left out", async () => {
  const { send, warnings } = setUp();
  await send("clip", { snapshot: "clips/gone.jpg", clip: "clips/e1.mp4" });
  await send("clip", { clip: "clips" });
  expect(readdirSync(root("out", "front"))).toEqual(["e1.json", "e1.mp4"]);
  expect(warnings).toEqual(["archive: clips/gone.jpg: no such file or folder", "archive: clips: it is a folder"]);
});

test("names of cameras and ids cannot lead out of the folder", async () => {
  const { send } = setUp();
  await send("new", { camera: "..", id: "../../e1" });
  expect(read("_", "__.._e1.json")).toContain('"../../e1"');
  expect(existsSync(root("e1.json"))).toBe(false);
});

test("a folder that cannot be written is an error", async () => {
  const { send } = setUp();
  writeFileSync(root("out"), "a file");
  expect(await refusal(send("new"))).toMatch(/cannot be written/);
});
