import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { takeLock } from "../../src/server/log_lock.js";
import { scratchPerTest } from "../support/folders.js";
import { refusal } from "../support/refusal.js";

const folder = scratchPerTest();

test("a folder cannot be locked twice, until it is released", async () => {
  const release = await takeLock(folder());
  expect(await refusal(takeLock(folder()))).toBe(
    `${folder()}: process ${process.pid} writes to it already; end it first, or choose another folder`,
  );
  await release();
  await (await takeLock(folder()))();
  expect(existsSync(folder("lock"))).toBe(false);
});

test("the lock of a process that lives is respected, and that of a dead one taken over", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  writeFileSync(folder("lock"), JSON.stringify({ pid: child.pid }));
  expect(await refusal(takeLock(folder()))).toContain(`process ${child.pid} writes to it already`);
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await takeLock(folder()))();
});

test.runIf(existsSync("/proc/self/stat"))("a process that has a dead one's number is not taken for it", async () => {
  writeFileSync(folder("lock"), JSON.stringify({ pid: process.ppid, started: "an earlier boot 123" }));
  await (await takeLock(folder()))();
});

test("a lock that a power cut left empty is taken over", async () => {
  writeFileSync(folder("lock"), "");
  await (await takeLock(folder()))();
});
