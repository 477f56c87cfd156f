import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  type RmOptions,
  readdirSync,
  readFileSync,
  rmSync,
  type WriteFileOptions,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import type { EventChange } from "../../src/server/records.js";
import { mountProblem, writeUntilFull } from "../support/disk.js";
import { fakeWatch } from "../support/fake_engine.js";
import { scratchPerTest } from "../support/folders.js";

/** A disk that this process sees: what lies in `folder` may take `left` bytes more. */
const disk = vi.hoisted(() => ({ folder: "", left: Number.POSITIVE_INFINITY }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const isOnDisk = (path: unknown) => disk.folder !== "" && String(path).startsWith(disk.folder);
  const take = (bytes: number): void => {
    if (bytes > disk.left) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    disk.left -= bytes;
  };
  const sizeOf = async (path: string) => (await real.stat(path).catch(() => undefined))?.size ?? 0;
  return {
    ...real,
    async statfs(path: string) {
      if (!isOnDisk(path) || disk.left === Number.POSITIVE_INFINITY) return real.statfs(path);
      return { bavail: Math.floor(disk.left / 4096), bsize: 4096 };
    },
    async rm(path: string, options?: RmOptions) {
      const size = isOnDisk(path) ? await sizeOf(path) : 0;
      await real.rm(path, options);
      disk.left += size;
    },
    async writeFile(path: string, text: string, options?: WriteFileOptions) {
      if (isOnDisk(path)) take(text.length);
      return real.writeFile(path, text, options);
    },
    async open(path: string, flags?: string) {
      const file = await real.open(path, flags);
      if (!isOnDisk(path)) return file;
      const [write, writeFile] = [file.write.bind(file), file.writeFile.bind(file)];
      const writeSome = async (bytes: Uint8Array) => {
        take(bytes.length);
        return write(bytes);
      };
      const writeAll = async (data: Uint8Array | string) => {
        take(data.length);
        return writeFile(data);
      };
      return Object.assign(file, { write: writeSome, writeFile: writeAll });
    },
  };
});

const at = scratchPerTest();
vi.setConfig({ testTimeout: 300_000 });
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 200_000, interval: 50 });

/** What a full disk does, whether it is a real one or not. */
async function fillAndEmpty({ fill, empty }: { fill(): void; empty(): void }): Promise<void> {
  const notices: string[] = [];
  const changes: EventChange[] = [];
  const supervisor = await fakeWatch(
    at,
    { reserve: 2 ** 22, data: at("disk", "data") },
    {
      onNotice: (level, from, line) => notices.push(`${level} ${from}: ${line}`),
      onChange: (change) => changes.push(change),
    },
  );
  const stop = new AbortController();
  const running = supervisor.run(new Map(), stop.signal);
  const count = (kind: string, from = 0) => changes.slice(from).filter(({ change }) => change === kind).length;
  const isSaid = (line: string) => notices.filter((notice) => notice === line).length;
  const full = "error storage: the disk is nearly full: clips and pictures stop, events go on";
  await until(() => expect(count("clip")).toBeGreaterThan(0));
  const reserve = at("disk", "data", "events", "reserve");
  expect(existsSync(reserve)).toBe(true);
  fill();
  await until(() => expect(isSaid(full)).toBe(1));
  // Clips that were being made have ended, one way or another.
  await until(() => expect(unfinished()).toEqual([]));
  await wait(3000);
  // What was deleted to make space is taken again.
  fill();
  const from = changes.length;
  await until(() => expect(existsSync(reserve)).toBe(false));
  const later = changes.length;
  await until(() => expect(count("end", later)).toBeGreaterThanOrEqual(2));
  expect(count("clip", from)).toBe(0);
  expect(unfinished()).toEqual([]);
  expect(readdirSync(at("disk", "data", "segments", "cam"))).toEqual([]);
  empty();
  await until(() => expect(isSaid("info storage: there is room for clips again")).toBe(1));
  await until(() => expect(count("clip", from)).toBeGreaterThanOrEqual(2));
  stop.abort();
  await running;
  await supervisor.close();
  // One notice; but what was under way may say that it failed.
  expect(isSaid(full)).toBe(1);
  expect(unfinished()).toEqual([]);
  const folder = at("disk", "data", "events");
  const lines = readdirSync(folder).flatMap((name) => {
    return name.endsWith(".jsonl") ? readFileSync(join(folder, name), "utf8").trim().split("\n") : [];
  });
  expect(lines.map((line) => JSON.parse(line) as EventChange)).toEqual(changes);
  expect(changes.filter(({ change }) => change === "end").map(({ event }) => event.id)).toEqual(
    changes.filter(({ change }) => change === "new").map(({ event }) => event.id),
  );
}

/** Files that are being written, or were left so. */
function unfinished(): string[] {
  const names = readdirSync(at("disk", "data"), { recursive: true }).map(String);
  return names.filter((name) => name.includes(".tmp"));
}

const problem = mountProblem();
test.skipIf(problem)(
  `on a real disk that is full clips stop, events go on, and clips begin again once there is room${problem ? ` (${problem})` : ""}`,
  async () => {
    mkdirSync(at("disk"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=40m", "tmpfs", at("disk")]);
    try {
      await fillAndEmpty({
        fill: () => writeUntilFull(at("disk", "filler")),
        empty: () => rmSync(at("disk", "filler")),
      });
    } finally {
      execFileSync("umount", ["-l", at("disk")]);
    }
  },
);

// The same, where there is no real disk of that size.
test.runIf(problem)(
  "if writes fail for want of space clips stop, events go on, and clips begin again once there is room",
  async () => {
    mkdirSync(at("disk"));
    disk.folder = at("disk");
    try {
      await fillAndEmpty({
        fill: () => {
          disk.left = 0;
        },
        empty: () => {
          disk.left = 2 ** 30;
        },
      });
    } finally {
      Object.assign(disk, { folder: "", left: Number.POSITIVE_INFINITY });
    }
  },
);
