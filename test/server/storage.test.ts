import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { freeBytes } from "../../src/node/files/free_bytes.js";
import { keepWithin, removeUnfinished } from "../../src/server/storage.js";
import { scratchPerTest } from "../support/folders.js";

const at = scratchPerTest();
const now = Date.parse("2026-06-30T12:00:00Z");

/** Writes the files of an event, some days old. */
function event(name: string, days: number, bytes: number, ...more: string[]): void {
  for (const ending of ["mp4", "jpg", ...more]) {
    const path = at(`${name}.${ending}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.alloc(ending === "mp4" ? bytes - 10 : 10));
    utimesSync(path, (now - days * 86_400_000) / 1000, (now - days * 86_400_000) / 1000);
  }
}

const quota = { days: 30, bytes: 10_000, reserve: 0 };

test("the oldest events go first, with all their files, until the rest fits", async () => {
  event("front/2026-06-01/a", 20, 4000);
  event("front/2026-06-10/b", 19, 4000);
  event("back/2026-06-20/c", 10, 4000);
  expect(await keepWithin(at(), quota, now)).toEqual({ bytes: 8000, deleted: 1 });
  expect(existsSync(at("front/2026-06-01"))).toBe(false);
  expect(existsSync(at("front/2026-06-10/b.mp4"))).toBe(true);
  expect(await keepWithin(at(), quota, now)).toEqual({ bytes: 8000, deleted: 0 });
});

test("old events go even if there is room, pinned ones never", async () => {
  event("front/d/a", 40, 100);
  event("front/d/b", 50, 20_000, "keep");
  event("front/d/c", 1, 100);
  const { deleted } = await keepWithin(at(), quota, now);
  // c goes too: the pinned one alone is above the quota.
  expect(deleted).toBe(2);
  expect(existsSync(at("front/d/b.mp4"))).toBe(true);
});

test("what was half-written goes, the rest stays", async () => {
  event("front/d/a", 1, 100, "mp4.123-abc.tmp", "mp4.123-abc.tmp.list");
  await removeUnfinished(at());
  expect(readdirSync(at("front", "d")).sort()).toEqual(["a.jpg", "a.mp4"]);
  await removeUnfinished(at("none"));
});

test("clips make room on a disk that is nearly full; a folder that is not there is empty", async () => {
  event("front/d/a", 1, 100);
  expect((await keepWithin(at(), { ...quota, reserve: Number.MAX_SAFE_INTEGER }, now)).deleted).toBe(1);
  expect(await keepWithin(at("none"), quota, now)).toEqual({ bytes: 0, deleted: 0 });
  expect(await freeBytes(at("none", "nowhere"))).toBe(Number.POSITIVE_INFINITY);
});
