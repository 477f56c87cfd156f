import { existsSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { ScoreSettings } from "../../src/detector/settings.js";
import { type Known, readKnown, scoredBy } from "../../src/server/camera/known.js";
import { UsualView } from "../../src/server/camera/view.js";
import type { EngineFacts } from "../../src/server/engine/messages.js";
import { type LearningCamera, Memory, type MemoryOptions } from "../../src/server/memory.js";
import { scratchPerTest } from "../support/folders.js";

const at = scratchPerTest();
const facts = (model: string): EngineFacts => {
  return { adapter: "none", model, settings: { score: "teacher" } as ScoreSettings };
};
const usual = { width: 96, height: 54, data: new Uint8Array(96 * 54).fill(7) };

/** A camera whose levels a test makes up. */
class Learning implements LearningCamera {
  readonly config = { id: "cam" };
  readonly decisions = { known: {} as Known, seconds: 0, view: new UsualView(), forget: () => this.learn(0) };

  /** It has learnt from so many seconds. */
  learn(seconds: number): void {
    const seen = { seconds, blocks: [0.5], median: 0.1, mapHigh: 0.3 };
    Object.assign(this.decisions, { seconds, known: seconds > 0 ? { day: { seen } } : {} });
  }
}

/** A memory, the engine's facts that it sees, and its warnings. */
function memoryOf(options: Partial<MemoryOptions> = {}) {
  const seen = { facts: facts("one") as EngineFacts | undefined, warnings: [] as string[], hasRoom: true };
  const memory = new Memory({
    ...{ data: at("data"), factsOf: () => seen.facts, hasRoom: () => seen.hasRoom },
    warn: (camera, line) => seen.warnings.push(`${camera}: ${line}`),
    ...options,
  });
  return { memory, seen };
}

const kept = async (model: string) => {
  const { modes } = await readKnown(at("data", "cameras", "cam"), scoredBy(facts(model)));
  return modes.day?.seen.seconds;
};

test("what a camera has learnt is there for the next process, and for its own model alone", async () => {
  const camera = new Learning();
  const { memory, seen } = memoryOf();
  camera.learn(100);
  await memory.remember(camera);
  const next = await memoryOf().memory.recall(new Learning(), facts("one"));
  expect(next.modes.day?.seen.seconds).toBe(100);
  // What was learnt since the last copy is kept before the model changes.
  camera.learn(200);
  expect((await memory.recall(camera, facts("two"))).modes).toEqual({});
  seen.facts = facts("two");
  camera.learn(5);
  expect((await memory.recall(camera, facts("one"))).modes.day?.seen.seconds).toBe(200);
});

test("a copy is made once enough was learnt since the last one, and while an engine runs", async () => {
  const camera = new Learning();
  const { memory, seen } = memoryOf();
  seen.facts = undefined;
  camera.learn(100);
  await memory.rememberAll([camera], 0.02);
  expect(existsSync(at("data"))).toBe(false);
  seen.facts = facts("one");
  await memory.rememberAll([camera], 0.02);
  expect(await kept("one")).toBe(100);
  camera.learn(101);
  await memory.rememberAll([camera], 0.02);
  expect(await kept("one")).toBe(100);
  await memory.rememberAll([camera]);
  expect(await kept("one")).toBe(101);
  // For other scores it begins at nothing.
  memory.begin(camera, { references: {} });
  camera.learn(50);
  await memory.rememberAll([camera], 0.02);
  expect(await kept("one")).toBe(50);
  // A new usual view is always worth one.
  camera.learn(51);
  camera.decisions.view.hasLearnt = true;
  await memory.rememberAll([camera], 0.1);
  expect(await kept("one")).toBe(51);
  expect(camera.decisions.view.hasLearnt).toBe(false);
});

test("a camera that forgets has nothing kept, and a calibration takes what was kept or begins at nothing", async () => {
  const camera = new Learning();
  const { memory } = memoryOf();
  camera.decisions.view.begin({ day: usual });
  camera.learn(100);
  await memory.remember(camera);
  const again = new Learning();
  again.learn(3);
  const fresh = await memoryOf({ calibrate: { fresh: true } }).memory.recall(again, facts("one"));
  expect([fresh.modes.day?.seen.seconds, fresh.references]).toEqual([3, {}]);
  // That copy was the newer one.
  expect(await kept("one")).toBe(3);
  await memory.forget(camera);
  expect(camera.decisions.seconds).toBe(0);
  expect(existsSync(at("data", "cameras", "cam", "calibration.json"))).toBe(false);
  // Whatever it learns next is worth a copy.
  camera.learn(2);
  await memory.rememberAll([camera], 0.02);
  expect(await kept("one")).toBe(2);
});

test("a file that cannot be read or written is one warning, unless the disk is full", async () => {
  const camera = new Learning();
  const { memory, seen } = memoryOf();
  camera.learn(100);
  await memory.remember(camera);
  writeFileSync(at("data", "cameras", "cam", "calibration.json"), "damaged");
  seen.facts = undefined;
  expect(await memory.recall(camera, facts("one"))).toEqual({ modes: {}, references: {} });
  expect(seen.warnings).toEqual([expect.stringMatching(/^cam: .*calibration\.json is no calibration of a camera/)]);
  const blocked = memoryOf({ data: at("blocked") });
  writeFileSync(at("blocked"), "");
  blocked.seen.hasRoom = false;
  await blocked.memory.remember(camera);
  expect(blocked.seen.warnings).toEqual([]);
  blocked.seen.hasRoom = true;
  await blocked.memory.remember(camera);
  expect(blocked.seen.warnings).toEqual([expect.stringMatching(/^cam: .*blocked/)]);
});
