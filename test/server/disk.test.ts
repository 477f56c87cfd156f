import { existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { freeBytes } from "../../src/node/files/free_bytes.js";
import { keptName } from "../../src/server/camera/normal_video.js";
import { Disk } from "../../src/server/disk.js";
import { scratchPerTest } from "../support/folders.js";

const at = scratchPerTest();
const day = 86_400_000;

/** A disk whose reserve tests change, and what is heard of it. */
function diskOf(reserve = 0, pace?: number) {
  const config = { data: at(), keep: { days: 30, bytes: 1000 }, reserve };
  const heard: string[] = [];
  const disk: Disk = new Disk({
    ...{ config, pace },
    onNotice: (level, line) => heard.push(`${level}: ${line}`),
    onRoom: () => heard.push(`room: ${disk.hasRoom}`),
  });
  return { disk, config, heard };
}

/** Writes a file of some age. @returns its path */
function file(path: string, bytes: number, days = 0): string {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), Buffer.alloc(bytes));
  utimesSync(at(path), (Date.now() - days * day) / 1000, (Date.now() - days * day) / 1000);
  return at(path);
}

test("recording stops on a disk that is nearly full, and goes on once there is clearly room", async () => {
  const { disk, config, heard } = diskOf();
  await disk.look();
  expect([disk.hasRoom, heard]).toEqual([true, []]);
  const free = await freeBytes(at());
  config.reserve = 100 * free;
  await disk.look();
  await disk.look();
  const full = ["error: the disk is nearly full: clips and pictures stop, events go on", "room: false"];
  expect([disk.hasRoom, heard]).toEqual([false, full]);
  // More than the reserve is free, but not clearly.
  config.reserve = free / 1.25;
  await disk.look();
  expect(disk.hasRoom).toBe(false);
  config.reserve = free / 100;
  await disk.look();
  expect([disk.hasRoom, heard]).toEqual([true, [...full, "info: there is room for clips again", "room: true"]]);
});

test("clips beyond the quota go, and pieces of normal video that are too old", async () => {
  const old = file("clips/cam/2026-01-01/a.mp4", 600, 3);
  const young = file("clips/cam/2026-01-02/b.mp4", 700, 2);
  const name = (days: number) => `cameras/cam/normal/${keptName(Date.now() - days * day)}`;
  const pieces = [file(name(40), 1), file(name(1), 1)];
  const marked = file("cameras/cam/normal/marked.mp4", 1, 40);
  const { disk, heard } = diskOf();
  await disk.look();
  expect([old, young, ...pieces, marked].map(existsSync)).toEqual([false, true, false, true, true]);
  expect(disk.clipBytes).toBe(700);
  expect(heard).toEqual(["info: the clips of 1 old events were deleted"]);
  // Clips may be many: they are not looked at each time.
  file("clips/cam/2026-01-02/c.mp4", 600, 1);
  await disk.look();
  expect(disk.clipBytes).toBe(700);
});

test("pieces of cameras that are not watched any longer go as well", async () => {
  const pieces = [40, 1].map((days) => file(`cameras/gone/normal/${keptName(Date.now() - days * day)}`, 1));
  await diskOf().disk.look();
  expect(pieces.map(existsSync)).toEqual([false, true]);
});

test("looks are more frequent if files are played fast", () => {
  expect(diskOf().disk.interval).toBe(2);
  expect(diskOf(0, 10).disk.interval).toBe(0.2);
});
