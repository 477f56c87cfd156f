import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import { atEnd, endAll, until } from "../../support/archive.js";
import { checkStream, endWorker, startWatched, workerProgram } from "../../support/camera_workers.js";
import { streamed } from "../../support/cameras.js";
import { withBundle } from "../../support/child.js";
import { mountProblem, writeUntilFull } from "../../support/disk.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
const LEASE = 2;
const ids = ["a", "b", "c", "d"];

const problem = mountProblem();
test.skipIf(!hasNats() || problem)(
  `a worker with a full disk sends its events; when it is stopped, others have its cameras${problem ? ` (${problem})` : ""}`,
  async () => {
    mkdirSync(at("disk"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=40m", "tmpfs", at("disk")]);
    atEnd(() => execFileSync("umount", ["-l", at("disk")]));
    const { cluster, said, start, goOn } = await startWatched(at, ids, LEASE);
    const saidOften = (text: string) => said.join("").split(text).length - 1;
    await withBundle(workerProgram(at, cluster.shown, LEASE), async (file) => {
      // It takes all cameras. They are files, which do not move for balance.
      const full = start(file, at("disk", "full"));
      await goOn(4, "full");
      const other = start(file, at("other"));
      writeUntilFull(at("disk", "filler"));
      await until(() => expect(saidOften("the disk is nearly full")).toBe(1));
      await goOn(4, "full");
      // Once the log has freed its reserve, and that is full too, it cannot be written at all.
      await until(() => {
        writeUntilFull(at("disk", "filler"));
        expect(existsSync(at("disk", "full", "events", "reserve"))).toBe(false);
        expect(saidOften("events wait in memory")).toBe(saidOften("can be written again") + 1);
      });
      full.kill("SIGTERM");
      const ownersOf = async () => {
        const last = new Map((await streamed(cluster)).map(({ camera, worker }) => [camera, worker]));
        return [...last.values()].map((worker) => worker.replace(/-.*/, ""));
      };
      await until(async () => expect(await ownersOf()).toEqual(Array(ids.length).fill("other")));
      await goOn(4, "other");
      rmSync(at("disk", "filler"));
      await until(() => expect(full.exitCode).toBe(0));
      const again = start(file, at("disk", "full"));
      await endWorker(other, "SIGTERM");
      await goOn(2, "full");
      await endWorker(again, "SIGTERM");
    });
    checkStream(await streamed(cluster), said);
  },
);
